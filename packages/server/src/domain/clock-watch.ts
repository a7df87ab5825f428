import type { Clock } from './ports/clock.ts';
import type { Log } from './ports/log.ts';
import type { Store } from './ports/store.ts';

/** Tolerated difference between clock and elapsed time; NTP corrections are smaller. */
const TOLERANCE_MS = 2000;

interface ClockWatchDeps {
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Log;
  /** Maximum time left to an upload whose deadline the clock skipped. */
  readonly maxGraceMs: number;
}

/**
 * Detects that the clock was set while the server runs, by comparing it with a monotonic clock, and moves the
 * deadlines of unfinished uploads accordingly. Changes while the server was not running go undetected: deadlines that
 * passed then have passed.
 */
export class ClockWatch {
  readonly #deps: ClockWatchDeps;
  /** Clock minus elapsed time. */
  #offsetMs: number;
  #checkedAt: number;
  #setAt = -Infinity;
  #checking: Promise<void> | undefined;

  constructor(deps: ClockWatchDeps) {
    this.#deps = deps;
    this.#checkedAt = deps.clock.elapsed();
    this.#offsetMs = deps.clock.now() - this.#checkedAt;
  }

  /** Await this before comparing deadlines with the clock. @throws StoreError; the next call tries again. */
  check(): Promise<void> {
    this.#checking ??= this.#check().finally(() => {
      this.#checking = undefined;
    });
    return this.#checking;
  }

  /** Time since the clock was last set, in milliseconds; infinite if it has not been set since the start. */
  get steadyForMs(): number {
    return this.#deps.clock.elapsed() - this.#setAt;
  }

  async #check(): Promise<void> {
    const elapsed = this.#deps.clock.elapsed();
    const now = this.#deps.clock.now();
    const jumpMs = now - elapsed - this.#offsetMs;
    if (Math.abs(jumpMs) > TOLERANCE_MS) {
      this.#setAt = elapsed;
      const sinceCheckMs = elapsed - this.#checkedAt;
      const moved = await this.#deps.store.moveDeadlines({
        now,
        jumpMs: Math.round(jumpMs),
        maxGraceMs: this.#deps.maxGraceMs,
        newSince: now - Math.round(sinceCheckMs),
      });
      this.#offsetMs = now - elapsed;
      this.#deps.log.warn(
        { jumpMs: Math.round(jumpMs), moved },
        'the clock was set; deadlines moved accordingly',
      );
    }
    this.#checkedAt = elapsed;
  }
}
