import type { Clock } from './ports/clock.ts';
import type { Log } from './ports/log.ts';
import type { AuditEvent, AuditRefusal, Store } from './ports/store.ts';

/** Equal requests within this time share a row. */
const WINDOW_MS = 60_000;
/** Rows within that time for all requests without a valid token, and for each subject. The rest shares one more row. */
const MAX_ROWS = 30;
/** The same for all together. */
const MAX_ROWS_IN_ALL = 300;
/** Rows held in memory while the database cannot be written. */
const MAX_UNWRITTEN = 1000;

export interface RefusedRequest {
  /** Subject of the token; null without a valid one. */
  readonly actor: string | null;
  readonly address: string;
  /** Addresses of one network count as one; of IPv4 a network is one address. */
  readonly network: string;
  readonly action: string;
  readonly clientId: string | null;
  readonly uploadId: string | null;
  readonly refusal: AuditRefusal;
  /** Reason for refusing a token, more detailed than the error code. */
  readonly reason: string | null;
  readonly detail: Readonly<Record<string, unknown>>;
}

interface Row {
  readonly event: AuditEvent;
  count: number;
  /** Undefined until the row is in the database. */
  id: number | undefined;
}

interface RefusedRequestsDeps {
  readonly store: Pick<Store, 'appendAudit' | 'setAuditCount'>;
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * Writes refused requests into the audit without delaying their responses. A caller can send any number of them, so rows
 * are limited: equal requests within a minute share a row with a count, and each minute has a maximum of rows. Requests
 * beyond it are counted in one row.
 */
export class RefusedRequests {
  readonly #deps: RefusedRequestsDeps;
  /** Rows of this window, by the fields in which equal requests agree. */
  readonly #rows = new Map<string, Row>();
  readonly #rowsByActor = new Map<string | null, number>();
  /** Rows whose count is not yet in the database, also of earlier windows. */
  readonly #unwritten = new Set<Row>();
  #windowSince = -Infinity;
  #writing: Promise<void> = Promise.resolve();
  /** The next write, until it starts. */
  #pending: Promise<void> | undefined;
  #isFailing = false;
  #lost = 0;

  constructor(deps: RefusedRequestsDeps) {
    this.#deps = deps;
  }

  /** Returns at once; the row is written in the background. */
  record(request: RefusedRequest): void {
    const elapsed = this.#deps.clock.elapsed();
    if (elapsed - this.#windowSince >= WINDOW_MS) {
      this.#rows.clear();
      this.#rowsByActor.clear();
      this.#windowSince = elapsed;
    }
    const row = this.#rowOf(request);
    if (row === undefined) {
      this.#lost += 1;
      return;
    }
    row.count += 1;
    this.#unwritten.add(row);
    // The sweeper's next round writes later counts, and retries rows that could not be written.
    if (row.count === 1 && !this.#isFailing) void this.flush();
  }

  /** Resolves when all requests recorded so far are in the database, or the write has failed. Never rejects. */
  flush(): Promise<void> {
    // A write that has not started yet includes all of them. Further ones would only repeat a failure.
    if (this.#pending === undefined) {
      this.#pending = this.#writing.then(() => {
        this.#pending = undefined;
        return this.#write();
      });
      this.#writing = this.#pending;
    }
    return this.#pending;
  }

  #rowOf(request: RefusedRequest): Row | undefined {
    const { actor, network, reason, action, clientId, uploadId, refusal, detail } = request;
    const key =
      actor === null
        ? JSON.stringify([network, reason])
        : JSON.stringify([actor, network, action, clientId, uploadId, refusal.error, detail]);
    const known = this.#rows.get(key);
    if (known !== undefined) return known;
    if (this.#unwritten.size >= MAX_UNWRITTEN) return undefined;
    const ofActor = this.#rowsByActor.get(actor) ?? 0;
    if (ofActor >= MAX_ROWS || this.#rows.size >= MAX_ROWS_IN_ALL) return this.#rest(request, ofActor);
    this.#rowsByActor.set(actor, ofActor + 1);
    const about = { action, clientId, uploadId, address: request.address };
    return this.#newRow(key, request, { ...about, detail: reason === null ? detail : { ...detail, reason } });
  }

  /** The row for requests beyond the maximum of their subject, or beyond that of all together. */
  #rest(request: RefusedRequest, ofActor: number): Row {
    const isOfActor = ofActor >= MAX_ROWS;
    const key = isOfActor ? `rest of ${JSON.stringify(request.actor)}` : 'rest';
    const actor = isOfActor ? (request.actor ?? '') : '';
    return (
      this.#rows.get(key) ??
      this.#newRow(key, request, {
        ...{ actor, action: 'request.more', clientId: null, uploadId: null, address: null },
        detail: { note: 'more refused requests of this minute, counted together' },
      })
    );
  }

  #newRow(
    key: string,
    { actor, refusal }: RefusedRequest,
    event: Omit<AuditEvent, 'at' | 'actor'> & { readonly actor?: string },
  ): Row {
    const row: Row = {
      event: { at: this.#deps.clock.now(), actor: actor ?? '', refusal, ...event },
      count: 0,
      id: undefined,
    };
    this.#rows.set(key, row);
    return row;
  }

  async #write(): Promise<void> {
    const rows = [...this.#unwritten];
    this.#unwritten.clear();
    // All at once, so that they share one commit.
    const outcomes = await Promise.allSettled(rows.map((row) => this.#writeRow(row)));
    const failed = outcomes.find((outcome) => outcome.status === 'rejected');
    outcomes.forEach((outcome, at) => {
      const row = rows[at];
      if (outcome.status === 'rejected' && row !== undefined) this.#unwritten.add(row);
    });
    if (failed !== undefined && !this.#isFailing) {
      this.#deps.log.warn({ err: failed.reason as unknown }, 'refused requests are not in the audit yet');
    }
    if (rows.length > 0) this.#isFailing = failed !== undefined;
    if (!this.#isFailing && this.#lost > 0) {
      this.#deps.log.warn({ requests: this.#lost }, 'refused requests that are not in the audit');
      this.#lost = 0;
    }
  }

  async #writeRow(row: Row): Promise<void> {
    const { count } = row;
    if (row.id === undefined) row.id = await this.#deps.store.appendAudit({ ...row.event, count });
    else await this.#deps.store.setAuditCount(row.id, count);
  }
}
