import type { CallOptions } from '../domain/ports/bucket.ts';
import type { ProbeReport } from './capability-probe.ts';

const FIRST_PAUSE_MS = 1_000;
const LONGEST_PAUSE_MS = 10_000;

/**
 * Probes once, however many ask. A probe that failed is repeated by the next to ask, after a pause with jitter
 * that grows; until then they get the same error.
 */
export class CapabilityProber {
  readonly #probe: (signal: AbortSignal) => Promise<ProbeReport>;
  readonly #now: () => number;
  readonly #random: () => number;
  readonly #closing = new AbortController();
  #report: ProbeReport | undefined;
  #running: Promise<ProbeReport> | undefined;
  #failure: { error: unknown; count: number; until: number } | undefined;

  constructor(
    probe: (signal: AbortSignal) => Promise<ProbeReport>,
    options: { now?: () => number; random?: () => number } = {},
  ) {
    this.#probe = probe;
    this.#now = options.now ?? (() => performance.now());
    this.#random = options.random ?? Math.random;
  }

  /** The signal ends the wait, not the probe: others may wait for it. */
  async report({ signal }: CallOptions = {}): Promise<ProbeReport> {
    if (this.#report !== undefined) return this.#report;
    signal?.throwIfAborted();
    if (this.#running === undefined) {
      if (this.#failure !== undefined && this.#now() < this.#failure.until) throw this.#failure.error;
      this.#running = this.#run();
    }
    return signal === undefined ? this.#running : raceAbort(this.#running, signal);
  }

  /** Idempotent. Waits until a probe under way has cleaned up. */
  async close(): Promise<void> {
    this.#closing.abort(new Error('the bucket was closed'));
    await this.#running?.catch(() => undefined);
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

async function raceAbort<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
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
