import { setTimeout as delay } from 'node:timers/promises';
import { ObjectStoreChild, ObjectStoreFailed, type ObjectStoreOptions } from './object-store-child.ts';

const BACKOFF_BASE_MS = 250;
const BACKOFF_CAP_MS = 10_000;
/**
 * Exit code of `backhaul-object-store` when another one uses the data directory: that of a server killed a moment
 * ago, which finishes its last requests within 10 s.
 */
const EXIT_IN_USE = 2;
const TAKE_OVER_MS = 15_000;
const TAKE_OVER_PAUSE_MS = 400;
/** A run of at least this length counts as a successful start. */
const STABLE_AFTER_MS = 30_000;

/** Keeps an object store running at a constant address: existing presigned URLs contain its port. */
export class EmbeddedObjectStore {
  readonly url: string;
  readonly port: number;
  readonly #options: ObjectStoreOptions;
  readonly #closing = new AbortController();
  readonly #supervision: Promise<void>;
  #child: ObjectStoreChild;

  private constructor(options: ObjectStoreOptions, child: ObjectStoreChild) {
    this.url = child.url;
    this.port = child.port;
    this.#options = options;
    this.#child = child;
    this.#supervision = this.#supervise();
  }

  /**
   * @param where.preferredPort used if it is free; 0 means no preference.
   * @throws ObjectStoreFailed
   */
  static async start(
    options: ObjectStoreOptions,
    { preferredPort, signal }: { preferredPort: number; signal: AbortSignal },
  ): Promise<EmbeddedObjectStore> {
    const giveUpAt = performance.now() + TAKE_OVER_MS;
    for (let port = preferredPort; ;) {
      try {
        return new EmbeddedObjectStore(options, await ObjectStoreChild.start(options, { port, signal }));
      } catch (error) {
        if (!(error instanceof ObjectStoreFailed)) throw error;
        if (error.exitCode === EXIT_IN_USE && performance.now() < giveUpAt) {
          await delay(TAKE_OVER_PAUSE_MS * (0.5 + Math.random()), null, { signal });
        } else if (port === 0) {
          throw error;
        } else {
          options.log.warn({ port }, 'object store cannot reuse its port; using another');
          port = 0;
        }
      }
    }
  }

  /** Process id of the current run. */
  get pid(): number | undefined {
    return this.#child.pid;
  }

  async close(): Promise<void> {
    this.#closing.abort();
    await this.#child.stop();
    await this.#supervision;
    // Stops a run that was just started as a replacement.
    await this.#child.stop();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  async #supervise(): Promise<void> {
    const { signal } = this.#closing;
    let failures = 0;
    while (!signal.aborted) {
      const startedAt = performance.now();
      const { how } = await this.#child.exited;
      if (signal.aborted) return;
      if (performance.now() - startedAt > STABLE_AFTER_MS) failures = 0;
      this.#options.log.error({ how, port: this.port }, 'object store exited; restarting it');
      failures = await this.#restart(failures, signal);
    }
  }

  /** @returns the number of starts in a row that did not last, including this one. */
  async #restart(failures: number, signal: AbortSignal): Promise<number> {
    for (let count = failures; ; count += 1) {
      try {
        await delay(
          Math.random() * Math.min(BACKOFF_CAP_MS, BACKOFF_BASE_MS * 2 ** Math.min(count, 16)),
          null,
          {
            signal,
          },
        );
        this.#child = await ObjectStoreChild.start(this.#options, { port: this.port, signal });
        this.#options.log.info({ port: this.port }, 'object store restarted');
        return count + 1;
      } catch (error) {
        if (signal.aborted) return count;
        this.#options.log.error({ err: error }, 'object store failed to start; retrying');
      }
    }
  }
}
