import type { Log } from '../ports/log.ts';
import type { Store } from '../ports/store.ts';

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

/** Removes audit events that are too old or too many, in batches. */
export class AuditRetention {
  readonly #store: AuditStore;
  readonly #log: Log;
  readonly #settings: AuditRetentionSettings;

  constructor(deps: { store: AuditStore; log: Log; settings: AuditRetentionSettings }) {
    this.#store = deps.store;
    this.#log = deps.log;
    this.#settings = deps.settings;
  }

  /** Removes the events that were recorded first, independent of any clock. */
  async removeExcess(): Promise<void> {
    const { maxRows } = this.#settings;
    if (maxRows === 0) return;
    const counted = await this.#store.countAudit();
    const maxWithoutActor = Math.ceil(maxRows * SHARE_WITHOUT_ACTOR);
    const removed = await this.#remove('without-actor', counted.withoutActor - maxWithoutActor);
    const excess = await this.#remove('any', counted.all - removed - maxRows);
    if (excess === 0) return;
    this.#log.warn(
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
    const before = now - this.#settings.retentionMs;
    const beforeId = await this.#store.findFirstAudit({ since: before, until: now });
    while ((await this.#store.removeAudit({ before, beforeId }, BATCH)) > 0);
  }

  async #remove(which: 'any' | 'without-actor', excess: number): Promise<number> {
    let left = excess;
    while (left > 0) {
      const removed = await this.#store.removeAudit(which, Math.min(left, BATCH));
      if (removed === 0) break;
      left -= removed;
    }
    return Math.max(excess, 0) - Math.max(left, 0);
  }
}
