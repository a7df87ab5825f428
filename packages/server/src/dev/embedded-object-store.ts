import { setTimeout as delay } from 'node:timers/promises';
import { ObjectStoreChild, ObjectStoreFailed, type ObjectStoreOptions } from './object-store-child.ts';

const BACKOFF_BASE_MS = 250;
const BACKOFF_CAP_MS = 10_000;
/**
 * `backhaul-object-store` ends with it when another one has the data directory: that of a server which was killed
 * a moment ago and is finishing its last requests, for 10 s at most.
 */
const EXIT_IN_USE = 2;
const TAKE_OVER_MS = 15_000;
const TAKE_OVER_PAUSE_MS = 400;
/** A run this long was no failed start. */
const HELD_AFTER_MS = 30_000;

/** Keeps an object store running at one address: presigned URLs that are out name its port. */
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
   * @param where.preferredPort taken if it is free; 0 has no preference.
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
          options.log.warn({ port }, 'object store cannot have its port again; taking another');
          port = 0;
        }
      }
    }
  }

  /** Of the run that is current. */
  get pid(): number | undefined {
    return this.#child.pid;
  }

  async close(): Promise<void> {
    this.#closing.abort();
    await this.#child.stop();
    await this.#supervision;
    // A run that had just begun in place of that one.
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
      if (performance.now() - startedAt > HELD_AFTER_MS) failures = 0;
      this.#options.log.error({ how, port: this.port }, 'object store is gone; starting it again');
      failures = await this.#startAgain(failures, signal);
    }
  }

  /** @returns how many starts in a row did not hold, this one included until it did. */
  async #startAgain(failures: number, signal: AbortSignal): Promise<number> {
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
        this.#options.log.info({ port: this.port }, 'object store runs again');
        return count + 1;
      } catch (error) {
        if (signal.aborted) return count;
        this.#options.log.error({ err: error }, 'object store cannot be started; trying again');
      }
    }
  }
}
