import type { RefusedRequests } from '../audit/refused-requests.ts';
import type { Clock } from '../ports/clock.ts';
import type { Log } from '../ports/log.ts';
import type { Store } from '../ports/store.ts';
import type { SessionRegistry } from '../sessions/session-registry.ts';
import type { TokenRenewal } from '../sessions/token-renewal.ts';
import type { UploadSettings } from '../upload-settings.ts';
import type { ClockWatch } from './clock-watch.ts';
import type { Completion } from './completion.ts';
import type { Dispatcher } from './dispatcher.ts';
import type { Expiry } from './expiry.ts';
import type { Retention } from './retention.ts';
import type { UploadEnding } from './upload-ending.ts';

const BATCH = 500;
const ABORTS_AT_ONCE = 4;

/**
 * Makes hints and scheduled calls dispensable: on a timer it dispatches waiting uploads, ends overdue ones and
 * retries failed aborts. Each step is independent, so that a failing one does not delay the others; steps that call
 * the object store run separately, so that a hanging store delays nothing that only needs the database.
 */
export class Sweeper {
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #settings: UploadSettings;
  readonly #sessions: SessionRegistry;
  readonly #dispatcher: Dispatcher;
  readonly #completion: Completion;
  readonly #ending: UploadEnding;
  readonly #expiry: Expiry;
  readonly #clockWatch: ClockWatch;
  readonly #retention: Retention;
  readonly #renewal: TokenRenewal;
  readonly #refusals: Pick<RefusedRequests, 'flush'>;
  readonly #abortOrphans: () => Promise<number>;
  readonly #orphanAgeMs: number;
  #orphansSweptAt = -Infinity;
  #running: Promise<void> | undefined;
  #cleaning: Promise<void> | undefined;

  constructor(deps: {
    store: Store;
    clock: Clock;
    log: Log;
    settings: UploadSettings;
    sessions: SessionRegistry;
    dispatcher: Dispatcher;
    completion: Completion;
    ending: UploadEnding;
    expiry: Expiry;
    clockWatch: ClockWatch;
    retention: Retention;
    renewal: TokenRenewal;
    refusals: Pick<RefusedRequests, 'flush'>;
    orphanAgeMs: number;
    abortOrphans: () => Promise<number>;
  }) {
    this.#store = deps.store;
    this.#clock = deps.clock;
    this.#log = deps.log;
    this.#settings = deps.settings;
    this.#sessions = deps.sessions;
    this.#dispatcher = deps.dispatcher;
    this.#completion = deps.completion;
    this.#ending = deps.ending;
    this.#expiry = deps.expiry;
    this.#clockWatch = deps.clockWatch;
    this.#retention = deps.retention;
    this.#renewal = deps.renewal;
    this.#refusals = deps.refusals;
    this.#abortOrphans = deps.abortOrphans;
    this.#orphanAgeMs = deps.orphanAgeMs;
  }

  /** Runs one round, or joins a running one. Calls to the object store continue after it. Never rejects. */
  sweep(): Promise<void> {
    this.#running ??= this.#round().finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  /** Resolves when no round is running. */
  async idle(): Promise<void> {
    await this.#running;
    await this.#cleaning;
  }

  async #round(): Promise<void> {
    await this.#step('resume', () => this.#resume());
    await this.#step('unanswered', () => this.#giveUpUnanswered());
    await this.#step('expire', () => this.#expiry.endOverdue());
    await this.#step('retain', () => this.#retention.run());
    // After the clock check: a token from the future would be refused once the clock is correct again.
    if (!this.#retention.isHeld) await this.#step('renew', () => this.#renewal.renewDue());
    await this.#refusals.flush();
    this.#cleaning ??= this.#clean().finally(() => {
      this.#cleaning = undefined;
    });
  }

  /** Steps that call the object store. */
  async #clean(): Promise<void> {
    await this.#step('abort', () => this.#abortLeftovers());
    await this.#step('orphans', () => this.#sweepOrphans());
  }

  async #resume(): Promise<void> {
    for (const uploadId of await this.#store.listCompletingIds()) this.#completion.start(uploadId);
    for (const clientId of await this.#store.listWaitingClients()) {
      if (this.#sessions.get(clientId) !== undefined) this.#dispatcher.schedule(clientId);
    }
  }

  async #giveUpUnanswered(): Promise<void> {
    const { prepareTimeoutMs: timeoutMs } = this.#settings;
    await this.#clockWatch.check();
    // The start of a preparation is a time of day. Agents that started before the clock was set get the whole time
    // again.
    if (this.#clockWatch.steadyForMs <= timeoutMs) return;
    const now = this.#clock.now();
    const asked = { before: now - timeoutMs, orAfter: now + timeoutMs };
    for (const uploadId of await this.#store.listUnansweredIds(asked, BATCH)) {
      await this.#ending.end(uploadId, { type: 'prepare_timeout', timeoutMs });
    }
  }

  async #abortLeftovers(): Promise<void> {
    const open = await this.#store.listUploadsWithOpenMultipart(BATCH);
    for (let start = 0; start < open.length; start += ABORTS_AT_ONCE) {
      const some = open.slice(start, start + ABORTS_AT_ONCE);
      const responses = await Promise.all(some.map((upload) => this.#ending.closeMultipart(upload)));
      if (responses.includes(false)) return;
    }
  }

  async #sweepOrphans(): Promise<void> {
    const now = this.#clock.elapsed();
    // Listing all pending uploads of a bucket costs requests, and orphans are rare.
    if (now - this.#orphansSweptAt < this.#orphanAgeMs) return;
    this.#orphansSweptAt = now;
    await this.#abortOrphans();
  }

  async #step(name: string, run: () => Promise<void>): Promise<void> {
    try {
      await run();
    } catch (error) {
      this.#log.error({ step: name, err: error }, 'sweep step failed; the next round will retry');
    }
  }
}
