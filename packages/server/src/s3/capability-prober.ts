import type { CallOptions } from '../domain/ports/bucket.ts';
import type { ProbeReport } from './capability-probe.ts';

const FIRST_PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 10_000;

/**
 * Probes once, however many ask, unless they want to know anew. A probe that failed is repeated by the next to ask,
 * after a pause with jitter that grows; until then they get the same error.
 */
export class CapabilityProber {
  readonly #probe: (signal: AbortSignal) => Promise<ProbeReport>;
  readonly #now: () => number;
  readonly #random: () => number;
  readonly #closing = new AbortController();
  #report: ProbeReport | undefined;
  #running: Promise<ProbeReport> | undefined;
  #repeat: Promise<ProbeReport> | undefined;
  #failure: { error: unknown; count: number; until: number } | undefined;

  constructor(
    probe: (signal: AbortSignal) => Promise<ProbeReport>,
    options: { now?: () => number; random?: () => number } = {},
  ) {
    this.#probe = probe;
    this.#now = options.now ?? (() => performance.now());
    this.#random = options.random ?? Math.random;
  }

  /** What is relied on, once there is something. */
  get known(): ProbeReport | undefined {
    return this.#report;
  }

  /** The signal ends the wait, not the probe: others may wait for it. */
  async report({ signal }: CallOptions = {}): Promise<ProbeReport> {
    if (this.#report !== undefined) return this.#report;
    signal?.throwIfAborted();
    if (this.#running === undefined) {
      if (this.#failure !== undefined && this.#now() < this.#failure.until) throw this.#failure.error;
      this.#running = this.#run();
    }
    return raceAbort(this.#running, signal);
  }

  /**
   * What a probe finds that is made now, shared by those who ask while it runs. What is relied on stays as it was found
   * first.
   */
  async reportAnew({ signal }: CallOptions = {}): Promise<ProbeReport> {
    if (this.#report === undefined) return this.report({ signal });
    signal?.throwIfAborted();
    this.#closing.signal.throwIfAborted();
    this.#repeat ??= this.#probe(this.#closing.signal).finally(() => {
      this.#repeat = undefined;
    });
    return raceAbort(this.#repeat, signal);
  }

  /** Idempotent. Waits until a probe under way has cleaned up. */
  async close(): Promise<void> {
    this.#closing.abort(new Error('the bucket was closed'));
    await Promise.allSettled([this.#running, this.#repeat]);
  }

  async #run(): Promise<ProbeReport> {
    try {
      this.#closing.signal.throwIfAborted();
      this.#report = await this.#probe(this.#closing.signal);
      return this.#report;
    } catch (error) {
      const count = (this.#failure?.count ?? 0) + 1;
      const ceiling = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** (count - 1));
      this.#failure = { error, count, until: this.#now() + this.#random() * ceiling };
      throw error;
    } finally {
      this.#running = undefined;
    }
  }
}

/** The promise, unless the signal is aborted first. */
export async function raceAbort<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return promise;
  let onAbort: (() => void) | undefined;
  const aborted = new Promise<never>((_, reject) => {
    onAbort = () => reject(signal.reason as Error);
    signal.addEventListener('abort', onAbort, { once: true });
  });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    if (onAbort !== undefined) signal.removeEventListener('abort', onAbort);
  }
}
