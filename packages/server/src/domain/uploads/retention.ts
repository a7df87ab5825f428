import type { Clock } from '../ports/clock.ts';
import type { Log } from '../ports/log.ts';
import type { Store } from '../ports/store.ts';

const BATCH = 500;
const HOUR_MS = 3_600_000;
/** Retention is not in a hurry. */
const INTERVAL_MS = HOUR_MS;
/** More than a change between summer and winter time would be, if the clock knew of it; less than removes too much. */
const TOLERANCE_MS = HOUR_MS;
/** How long a clock that was set has to go on as time does, until it is believed. */
const TRIAL_MS = 24 * HOUR_MS;
/** A server that did not run for longer than this may as well have been started with a wrong clock. */
const LONGEST_AWAY_MS = 7 * 24 * HOUR_MS;

/**
 * Removes what is older than the retention time, by a clock that can be believed. A wrong one would remove everything
 * at once: after it was set, or when at the start it is far beyond what is on record, nothing is removed until it
 * has gone on for a day as time does. That it waits is on record too: a restart does not make a wrong clock right.
 */
export class Retention {
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #retentionMs: number;
  readonly #trustClock: boolean;
  #offsetMs: number;
  #steadySince: number;
  #removedAt = -Infinity;
  /** Undefined until the record was read. */
  #isHeld: boolean | undefined;

  constructor(parts: {
    store: Store;
    clock: Clock;
    log: Log;
    /** How long ended uploads and audit events are kept. */
    retentionMs: number;
    /** The operator says that the clock is right, whatever it did. */
    trustClock: boolean;
  }) {
    this.#store = parts.store;
    this.#clock = parts.clock;
    this.#log = parts.log;
    this.#retentionMs = parts.retentionMs;
    this.#trustClock = parts.trustClock;
    this.#steadySince = this.#clock.elapsed();
    this.#offsetMs = this.#clock.now() - this.#steadySince;
  }

  /** Whether removal waits for the clock to prove itself. */
  get isHeld(): boolean {
    return this.#isHeld === true;
  }

  /** In batches, so that no write has to wait long for its turn. */
  async run(): Promise<void> {
    const now = this.#clock.now();
    const elapsed = this.#clock.elapsed();
    await this.#judgeClock(now, elapsed);
    if (this.isHeld || elapsed - this.#removedAt < INTERVAL_MS) return;
    while ((await this.#store.removeOlderThan(now - this.#retentionMs, BATCH)) > 0);
    await this.#store.saveClockRecord({ trustedAt: now, isHeld: false });
    this.#removedAt = elapsed;
  }

  async #judgeClock(now: number, elapsed: number): Promise<void> {
    const movedMs = now - elapsed - this.#offsetMs;
    if (Math.abs(movedMs) > TOLERANCE_MS) {
      this.#offsetMs = now - elapsed;
      this.#steadySince = elapsed;
      await this.#hold({ movedMs: Math.round(movedMs) });
    }
    if (this.#isHeld === undefined) {
      const { trustedAt, isHeld } = await this.#store.getClockRecord();
      const aheadMs = trustedAt === null ? 0 : now - trustedAt;
      this.#isHeld = false;
      if (isHeld || aheadMs > LONGEST_AWAY_MS) await this.#hold({ aheadMs });
    }
    if (this.#isHeld && elapsed - this.#steadySince >= TRIAL_MS) this.#isHeld = false;
  }

  async #hold(facts: Readonly<Record<string, number>>): Promise<void> {
    if (this.#trustClock) return;
    const { trustedAt } = await this.#store.getClockRecord();
    await this.#store.saveClockRecord({ trustedAt, isHeld: true });
    this.#isHeld = true;
    const advice =
      'nothing is removed until the clock has been steady for a day; if it is right, RETENTION_TRUST_CLOCK=true removes at once';
    this.#log.warn({ ...facts, advice }, 'retention waits: the clock may be wrong');
  }
}
