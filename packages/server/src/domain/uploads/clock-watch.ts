import type { Clock } from '../ports/clock.ts';
import type { Log } from '../ports/log.ts';
import type { Store } from '../ports/store.ts';

/** What the clock may differ from the time that has passed: less is how NTP keeps it right. */
const TOLERANCE_MS = 2000;

/**
 * Notices that somebody set the clock while the server runs, by comparing it with a clock that cannot be set, and
 * moves the deadlines of unfinished uploads, which are times of day, along with it. Nothing of this is known of the
 * time in which the server did not run: deadlines that passed then have passed.
 */
export class ClockWatch {
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #longestGraceMs: number;
  /** What the clock is ahead of the elapsed time. */
  #offsetMs: number;
  #lookedAt: number;
  #setAt = -Infinity;
  #looking: Promise<void> | undefined;

  constructor(parts: {
    store: Store;
    clock: Clock;
    log: Log;
    /** What an upload gets at most, whose deadline lay in the time that the clock skipped. */
    longestGraceMs: number;
  }) {
    this.#store = parts.store;
    this.#clock = parts.clock;
    this.#log = parts.log;
    this.#longestGraceMs = parts.longestGraceMs;
    this.#lookedAt = this.#clock.elapsed();
    this.#offsetMs = this.#clock.now() - this.#lookedAt;
  }

  /** To be awaited before deadlines are compared with the clock. @throws StoreError; then the next look tries again. */
  look(): Promise<void> {
    this.#looking ??= this.#look().finally(() => {
      this.#looking = undefined;
    });
    return this.#looking;
  }

  /** How long the clock has not been set; infinite if never since the start. Milliseconds. */
  get steadyForMs(): number {
    return this.#clock.elapsed() - this.#setAt;
  }

  async #look(): Promise<void> {
    const elapsed = this.#clock.elapsed();
    const now = this.#clock.now();
    const jumpMs = now - elapsed - this.#offsetMs;
    if (Math.abs(jumpMs) > TOLERANCE_MS) {
      this.#setAt = elapsed;
      const sinceLookMs = elapsed - this.#lookedAt;
      const moved = await this.#store.moveDeadlines({
        now,
        jumpMs: Math.round(jumpMs),
        longestGraceMs: this.#longestGraceMs,
        newSince: now - Math.round(sinceLookMs),
      });
      this.#offsetMs = now - elapsed;
      this.#log.warn({ jumpMs: Math.round(jumpMs), moved }, 'the clock was set; deadlines moved along');
    }
    this.#lookedAt = elapsed;
  }
}
