import type { Storage } from './storage.ts';

const HOUR_MS = 3_600_000;

/** Aborts multipart uploads that are older than this. @returns the number of aborted uploads */
export async function abortStaleUploads(storage: Storage, olderThanMs: number): Promise<number> {
  const before = storage.nowMs() - olderThanMs;
  let aborted = 0;
  for (const bucket of storage.buckets()) {
    for (const upload of bucket.uploads()) {
      if (upload.record.initiatedAtMs >= before) continue;
      // It was completed or aborted concurrently, or the disk failed: the next sweep retries.
      await bucket.abort(upload).then(
        () => aborted++,
        () => undefined,
      );
    }
  }
  return aborted;
}

/** Sweeps at the start and hourly, without keeping the process alive. */
export class StaleUploadSweeper implements AsyncDisposable {
  readonly #timer: NodeJS.Timeout;
  #sweeping: Promise<unknown> = Promise.resolve();

  constructor(storage: Storage, olderThanMs: number) {
    const sweep = (): void => {
      this.#sweeping = this.#sweeping.then(() => abortStaleUploads(storage, olderThanMs));
    };
    this.#timer = setInterval(sweep, HOUR_MS).unref();
    sweep();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer);
    await this.#sweeping;
  }
}
