import type { AuditRetention } from '../audit/audit-retention.ts';
import type { Clock } from '../ports/clock.ts';
import type { Log } from '../ports/log.ts';
import type { Store } from '../ports/store.ts';

const BATCH = 500;
const HOUR_MS = 3_600_000;
/** Retention is not urgent. */
const INTERVAL_MS = HOUR_MS;
/** More than a daylight saving change of a clock in local time; less than what would remove too much. */
const TOLERANCE_MS = HOUR_MS;
/** How long a clock that was set has to run steadily until it is trusted. */
const TRIAL_MS = 24 * HOUR_MS;
/** After a longer downtime the server may have been started with a wrong clock. */
const MAX_DOWNTIME_MS = 7 * 24 * HOUR_MS;

/**
 * Removes records older than the retention time, by a trusted clock. A wrong clock would remove everything at once:
 * after it was set, or when at the start it is far ahead of the database, nothing is removed until it has run
 * steadily for a day. This state is stored too: a restart does not make a wrong clock right.
 */
export class Retention {
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #retentionMs: number;
  readonly #audit: Pick<AuditRetention, 'removeExcess' | 'removeOld'>;
  readonly #trustClock: boolean;
  #offsetMs: number;
  #steadySince: number;
  #removedAt = -Infinity;
  #excessRemovedAt = -Infinity;
  /** Undefined until the stored state was read. */
  #isHeld: boolean | undefined;

  constructor(deps: {
    store: Store;
    clock: Clock;
    log: Log;
    /** How long ended uploads are retained. */
    retentionMs: number;
    audit: Pick<AuditRetention, 'removeExcess' | 'removeOld'>;
    /** The operator confirms that the clock is right, whatever happened. */
    trustClock: boolean;
  }) {
    this.#store = deps.store;
    this.#clock = deps.clock;
    this.#log = deps.log;
    this.#retentionMs = deps.retentionMs;
    this.#audit = deps.audit;
    this.#trustClock = deps.trustClock;
    this.#steadySince = this.#clock.elapsed();
    this.#offsetMs = this.#clock.now() - this.#steadySince;
  }

  /** Whether removal waits until the clock is trusted. */
  get isHeld(): boolean {
    return this.#isHeld === true;
  }

  /** Removes in batches, so that no other write has to wait long. */
  async run(): Promise<void> {
    const now = this.#clock.now();
    const elapsed = this.#clock.elapsed();
    // First, because token renewal depends on it even if the audit cannot be shortened.
    await this.#judgeClock(now, elapsed);
    if (elapsed - this.#excessRemovedAt >= INTERVAL_MS) {
      await this.#audit.removeExcess();
      this.#excessRemovedAt = elapsed;
    }
    if (this.isHeld || elapsed - this.#removedAt < INTERVAL_MS) return;
    while ((await this.#store.removeOlderThan(now - this.#retentionMs, BATCH)) > 0);
    while ((await this.#store.removeEndedTokens(now, BATCH)) > 0);
    await this.#audit.removeOld(now);
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
      if (isHeld || aheadMs > MAX_DOWNTIME_MS) await this.#hold({ aheadMs });
    }
    if (this.#isHeld && elapsed - this.#steadySince >= TRIAL_MS) this.#isHeld = false;
  }

  async #hold(facts: Readonly<Record<string, number>>): Promise<void> {
    if (this.#trustClock) return;
    const { trustedAt } = await this.#store.getClockRecord();
    await this.#store.saveClockRecord({ trustedAt, isHeld: true });
    this.#isHeld = true;
    const advice =
      'nothing is removed until the clock has been steady for a day; if it is right, set RETENTION_TRUST_CLOCK=true to remove now';
    this.#log.warn({ ...facts, advice }, 'retention waits: the clock may be wrong');
  }
}
