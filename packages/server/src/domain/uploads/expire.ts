import type { SessionRegistry } from '../agents/session.ts';
import { type Clock, delayUntil } from '../ports/clock.ts';
import type { Log } from '../ports/log.ts';
import type { Store } from '../ports/store.ts';
import type { ClockWatch } from '../clock-watch.ts';
import type { UploadEnding } from './end.ts';
import type { UploadLedger } from './ledger.ts';
import type { Upload } from './upload.ts';

const BATCH = 500;

interface ExpiryDeps {
  readonly store: Store;
  readonly ledger: UploadLedger;
  readonly ending: UploadEnding;
  readonly sessions: SessionRegistry;
  readonly clock: Clock;
  readonly clockWatch: ClockWatch;
  readonly log: Log;
  /** Stops waiting. */
  readonly signal: AbortSignal;
}

/**
 * Ends uploads at their deadline. A timer waits for the earliest one, so that an upload limited to two seconds does
 * not take ten; the sweeper calls too, so a missed timer only delays.
 */
export class Expiry {
  readonly #deps: ExpiryDeps;
  #timer: { readonly at: number; readonly handle: NodeJS.Timeout } | undefined;
  #running: Promise<void> | undefined;

  constructor(deps: ExpiryDeps) {
    this.#deps = deps;
    deps.signal.addEventListener('abort', () => clearTimeout(this.#timer?.handle));
  }

  /** Reports an upload with this deadline. @param at By the clock, ms. */
  watch(at: number): void {
    if (this.#deps.signal.aborted || (this.#timer !== undefined && this.#timer.at <= at)) return;
    clearTimeout(this.#timer?.handle);
    // A timer that fires early finds nothing and waits for the next deadline.
    const handle = setTimeout(() => void this.#onDeadline(), delayUntil(at, this.#deps.clock)).unref();
    this.#timer = { at, handle };
  }

  /** Ends overdue uploads and waits for the next deadline; joins a run in progress. */
  endOverdue(): Promise<void> {
    this.#running ??= this.#endOverdue().finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  /** Resolves when no run is in progress. Never rejects. */
  async idle(): Promise<void> {
    await this.#running?.catch(() => undefined);
  }

  async #onDeadline(): Promise<void> {
    this.#timer = undefined;
    try {
      await this.endOverdue();
    } catch (error) {
      this.#deps.log.error({ err: error }, 'expiring uploads failed; the sweeper will retry');
    }
  }

  async #endOverdue(): Promise<void> {
    await this.#deps.clockWatch.check();
    // The same time for both queries: a deadline that passes between them must not be missed by both.
    let now = this.#deps.clock.now();
    while (!this.#deps.signal.aborted) {
      now = this.#deps.clock.now();
      const overdue = await this.#deps.store.listOverdueIds(now, BATCH);
      let ended = 0;
      for (const uploadId of overdue) {
        if ((await this.#deps.ledger.onNewest(uploadId, (upload) => this.#end(upload))) !== undefined)
          ended += 1;
      }
      // Uploads that could not be ended are left for the next run.
      if (overdue.length < BATCH || ended === 0) break;
    }
    const next = await this.#deps.store.nextDeadline(now);
    if (next !== undefined) this.watch(next);
  }

  #end(upload: Upload): Promise<Upload | undefined> {
    const isAgentConnected = this.#deps.sessions.get(upload.clientId) !== undefined;
    return this.#deps.ending.endLocked(upload, { type: 'expire', isAgentConnected });
  }
}
