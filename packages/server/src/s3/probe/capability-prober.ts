import type { CallOptions } from '../../domain/ports/bucket.ts';
import { raceAbort } from '../retry.ts';
import type { ProbeReport } from './capability-probe.ts';

const FIRST_PAUSE_MS = 1_000;
const MAX_PAUSE_MS = 10_000;

/**
 * Probes once for all callers, unless a caller wants a fresh report. A failed probe is repeated by the next caller
 * after a growing pause with jitter; until then callers get the same error.
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

  /** The report in use; undefined until a probe has succeeded. */
  get known(): ProbeReport | undefined {
    return this.#report;
  }

  /** The signal ends the wait, not the probe, which other callers may share. */
  async report({ signal }: CallOptions = {}): Promise<ProbeReport> {
    if (this.#report !== undefined) return this.#report;
    signal?.throwIfAborted();
    if (this.#running === undefined) {
      if (this.#failure !== undefined && this.#now() < this.#failure.until) throw this.#failure.error;
      this.#running = this.#run();
    }
    return raceAbort(this.#running, signal);
  }

  /** Runs a new probe, shared by the callers that arrive while it runs. The report in use stays the first one. */
  async freshReport({ signal }: CallOptions = {}): Promise<ProbeReport> {
    if (this.#report === undefined) return this.report({ signal });
    signal?.throwIfAborted();
    this.#closing.signal.throwIfAborted();
    this.#repeat ??= this.#probe(this.#closing.signal).finally(() => {
      this.#repeat = undefined;
    });
    return raceAbort(this.#repeat, signal);
  }

  /** Idempotent. Waits until a running probe has cleaned up. */
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
      const ceiling = Math.min(MAX_PAUSE_MS, FIRST_PAUSE_MS * 2 ** (count - 1));
      this.#failure = { error, count, until: this.#now() + this.#random() * ceiling };
      throw error;
    } finally {
      this.#running = undefined;
    }
  }
}
