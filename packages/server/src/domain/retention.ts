import type { Clock } from './ports/clock.ts';
import type { Log } from './ports/log.ts';
import type { Store } from './ports/store.ts';

/** Other writes wait for one step at most. */
const BATCH = 500;
/** Share of the maximum for requests without a valid token: they must not displace the events of operators. */
const SHARE_WITHOUT_ACTOR = 0.1;

type AuditStore = Pick<Store, 'countAudit' | 'findFirstAudit' | 'removeAudit'>;

export interface AuditRetentionSettings {
  /** Age at which events are removed; independent of the retention of uploads. */
  readonly retentionMs: number;
  /** Maximum number of events; 0 is no limit. */
  readonly maxRows: number;
}

interface AuditRetentionDeps {
  readonly store: AuditStore;
  readonly log: Log;
  readonly settings: AuditRetentionSettings;
}

/** Removes audit events that are too old or too many, in batches. */
export class AuditRetention {
  readonly #deps: AuditRetentionDeps;

  constructor(deps: AuditRetentionDeps) {
    this.#deps = deps;
  }

  /** Removes the events that were recorded first, independent of any clock. */
  async removeExcess(): Promise<void> {
    const { maxRows } = this.#deps.settings;
    if (maxRows === 0) return;
    const counted = await this.#deps.store.countAudit();
    const maxWithoutActor = Math.ceil(maxRows * SHARE_WITHOUT_ACTOR);
    const removed = await this.#remove('without-actor', counted.withoutActor - maxWithoutActor);
    const excess = await this.#remove('any', counted.all - removed - maxRows);
    if (excess === 0) return;
    this.#deps.log.warn(
      { rows: excess, maxRows },
      'audit events removed before their time: there were more than AUDIT_MAX_ROWS',
    );
  }

  /**
   * Events that were recorded while the clock was behind only seem to be old. They are kept as long as the events that were
   * recorded before them.
   *
   * @param now By a trusted clock.
   */
  async removeOld(now: number): Promise<void> {
    const before = now - this.#deps.settings.retentionMs;
    const beforeId = await this.#deps.store.findFirstAudit({ since: before, until: now });
    while ((await this.#deps.store.removeAudit({ before, beforeId }, BATCH)) > 0);
  }

  async #remove(which: 'any' | 'without-actor', excess: number): Promise<number> {
    let left = excess;
    while (left > 0) {
      const removed = await this.#deps.store.removeAudit(which, Math.min(left, BATCH));
      if (removed === 0) break;
      left -= removed;
    }
    return Math.max(excess, 0) - Math.max(left, 0);
  }
}

const HOUR_MS = 3_600_000;
/** Retention is not urgent. */
const INTERVAL_MS = HOUR_MS;
/** More than a daylight saving change of a clock in local time; less than what would remove too much. */
const TOLERANCE_MS = HOUR_MS;
/** How long a clock that was set has to run steadily until it is trusted. */
const TRIAL_MS = 24 * HOUR_MS;
/** After a longer downtime the server may have been started with a wrong clock. */
const MAX_DOWNTIME_MS = 7 * 24 * HOUR_MS;

interface RetentionDeps {
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Log;
  /** How long ended uploads are retained. */
  readonly retentionMs: number;
  readonly audit: Pick<AuditRetention, 'removeExcess' | 'removeOld'>;
  /** The operator confirms that the clock is right, whatever happened. */
  readonly trustClock: boolean;
}

/**
 * Removes records older than the retention time, by a trusted clock. A wrong clock would remove everything at once:
 * after it was set, or when at the start it is far ahead of the database, nothing is removed until it has run
 * steadily for a day. This state is stored too: a restart does not make a wrong clock right.
 */
export class Retention {
  readonly #deps: RetentionDeps;
  #offsetMs: number;
  #steadySince: number;
  #removedAt = -Infinity;
  #excessRemovedAt = -Infinity;
  /** Undefined until the stored state was read. */
  #isHeld: boolean | undefined;

  constructor(deps: RetentionDeps) {
    this.#deps = deps;
    this.#steadySince = deps.clock.elapsed();
    this.#offsetMs = deps.clock.now() - this.#steadySince;
  }

  /** Whether removal waits until the clock is trusted. */
  get isHeld(): boolean {
    return this.#isHeld === true;
  }

  /** Removes in batches, so that no other write has to wait long. */
  async run(): Promise<void> {
    const now = this.#deps.clock.now();
    const elapsed = this.#deps.clock.elapsed();
    // First, because token renewal depends on it even if the audit cannot be shortened.
    await this.#judgeClock(now, elapsed);
    if (elapsed - this.#excessRemovedAt >= INTERVAL_MS) {
      await this.#deps.audit.removeExcess();
      this.#excessRemovedAt = elapsed;
    }
    if (this.isHeld || elapsed - this.#removedAt < INTERVAL_MS) return;
    while ((await this.#deps.store.removeOlderThan(now - this.#deps.retentionMs, BATCH)) > 0);
    while ((await this.#deps.store.removeEndedTokens(now, BATCH)) > 0);
    await this.#deps.audit.removeOld(now);
    await this.#deps.store.saveClockRecord({ trustedAt: now, isHeld: false });
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
      const { trustedAt, isHeld } = await this.#deps.store.getClockRecord();
      const aheadMs = trustedAt === null ? 0 : now - trustedAt;
      this.#isHeld = false;
      if (isHeld || aheadMs > MAX_DOWNTIME_MS) await this.#hold({ aheadMs });
    }
    if (this.#isHeld && elapsed - this.#steadySince >= TRIAL_MS) this.#isHeld = false;
  }

  async #hold(facts: Readonly<Record<string, number>>): Promise<void> {
    if (this.#deps.trustClock) return;
    const { trustedAt } = await this.#deps.store.getClockRecord();
    await this.#deps.store.saveClockRecord({ trustedAt, isHeld: true });
    this.#isHeld = true;
    const advice =
      'nothing is removed until the clock has been steady for a day; if it is right, set RETENTION_TRUST_CLOCK=true to remove now';
    this.#deps.log.warn({ ...facts, advice }, 'retention waits: the clock may be wrong');
  }
}
