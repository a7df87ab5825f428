import type { Clock } from '../ports/clock.ts';
import type { Log } from '../ports/log.ts';
import type { Store } from '../ports/store.ts';
import type { SessionRegistry } from '../sessions/session-registry.ts';
import type { ClockWatch } from './clock-watch.ts';
import type { UploadEnding } from './upload-ending.ts';

const BATCH = 500;
/** What setTimeout can count. A timer that fires early finds nothing, and looks for the next deadline. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/**
 * Ends uploads at their deadline. A timer waits for the nearest one, so that a pull that may take two seconds does
 * not take ten; the sweeper calls as well, so that a timer that was missed only delays.
 */
export class Expiry {
  readonly #store: Store;
  readonly #ending: UploadEnding;
  readonly #sessions: SessionRegistry;
  readonly #clock: Clock;
  readonly #clockWatch: ClockWatch;
  readonly #log: Log;
  readonly #signal: AbortSignal;
  #timer: { readonly at: number; readonly handle: NodeJS.Timeout } | undefined;
  #running: Promise<void> | undefined;

  constructor(parts: {
    store: Store;
    ending: UploadEnding;
    sessions: SessionRegistry;
    clock: Clock;
    clockWatch: ClockWatch;
    log: Log;
    /** Ends the waiting. */
    signal: AbortSignal;
  }) {
    this.#store = parts.store;
    this.#ending = parts.ending;
    this.#sessions = parts.sessions;
    this.#clock = parts.clock;
    this.#clockWatch = parts.clockWatch;
    this.#log = parts.log;
    this.#signal = parts.signal;
    this.#signal.addEventListener('abort', () => clearTimeout(this.#timer?.handle));
  }

  /** There is an upload with this deadline. @param at By the clock, ms. */
  watch(at: number): void {
    if (this.#signal.aborted || (this.#timer !== undefined && this.#timer.at <= at)) return;
    clearTimeout(this.#timer?.handle);
    const delayMs = Math.min(LONGEST_TIMER_MS, Math.max(0, at - this.#clock.now()));
    this.#timer = { at, handle: setTimeout(() => void this.#onDeadline(), delayMs).unref() };
  }

  /** Ends what is overdue, and waits for the next deadline; joins a look that is under way. */
  endOverdue(): Promise<void> {
    this.#running ??= this.#endOverdue().finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  /** Resolves when no look is under way. Never rejects. */
  async idle(): Promise<void> {
    await this.#running?.catch(() => undefined);
  }

  async #onDeadline(): Promise<void> {
    this.#timer = undefined;
    try {
      await this.endOverdue();
    } catch (error) {
      this.#log.error({ err: error }, 'uploads at their deadline not ended; repeated by the sweeper');
    }
  }

  async #endOverdue(): Promise<void> {
    await this.#clockWatch.look();
    // One moment for both questions: a deadline that passes between them must not be missed by both.
    let now = this.#clock.now();
    while (!this.#signal.aborted) {
      now = this.#clock.now();
      const overdue = await this.#store.listOverdueIds(now, BATCH);
      let ended = 0;
      for (const uploadId of overdue) if (await this.#end(uploadId)) ended += 1;
      // Whatever could not be ended is left for the next time.
      if (overdue.length < BATCH || ended === 0) break;
    }
    const next = await this.#store.nextDeadline(now);
    if (next !== undefined) this.watch(next);
  }

  async #end(uploadId: string): Promise<boolean> {
    const upload = await this.#store.getUpload(uploadId);
    if (upload === undefined) return false;
    const isAgentConnected = this.#sessions.get(upload.clientId) !== undefined;
    return (await this.#ending.end(uploadId, { type: 'expire', isAgentConnected })) !== undefined;
  }
}
