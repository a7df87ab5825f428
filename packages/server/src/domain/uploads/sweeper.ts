import type { Clock } from '../ports/clock.ts';
import type { Log } from '../ports/log.ts';
import type { Store } from '../ports/store.ts';
import type { SessionRegistry } from '../sessions/session-registry.ts';
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
 * Makes every hint and every kick dispensable: on a timer it brings back what waits, ends what is overdue and
 * repeats aborts that failed. Each step stands alone, so that one that fails does not hold up the others; and what
 * asks the object store runs apart, so that a store that hangs holds up nothing that only needs the database.
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
  readonly #abortOrphans: () => Promise<number>;
  readonly #orphanAgeMs: number;
  #orphansLookedForAt = -Infinity;
  #running: Promise<void> | undefined;
  #cleaning: Promise<void> | undefined;

  constructor(parts: {
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
    orphanAgeMs: number;
    abortOrphans: () => Promise<number>;
  }) {
    this.#store = parts.store;
    this.#clock = parts.clock;
    this.#log = parts.log;
    this.#settings = parts.settings;
    this.#sessions = parts.sessions;
    this.#dispatcher = parts.dispatcher;
    this.#completion = parts.completion;
    this.#ending = parts.ending;
    this.#expiry = parts.expiry;
    this.#clockWatch = parts.clockWatch;
    this.#retention = parts.retention;
    this.#abortOrphans = parts.abortOrphans;
    this.#orphanAgeMs = parts.orphanAgeMs;
  }

  /** One round; a round already under way is joined. What asks the object store goes on after it. Never rejects. */
  sweep(): Promise<void> {
    this.#running ??= this.#round().finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  /** Resolves when no round is under way. */
  async idle(): Promise<void> {
    await this.#running;
    await this.#cleaning;
  }

  async #round(): Promise<void> {
    await this.#step('resume', () => this.#resume());
    await this.#step('unanswered', () => this.#giveUpUnanswered());
    await this.#step('expire', () => this.#expiry.endOverdue());
    await this.#step('retain', () => this.#retention.run());
    this.#cleaning ??= this.#clean().finally(() => {
      this.#cleaning = undefined;
    });
  }

  /** What the object store is asked for. */
  async #clean(): Promise<void> {
    await this.#step('abort', () => this.#abortLeftovers());
    await this.#step('orphans', () => this.#lookForOrphans());
  }

  async #resume(): Promise<void> {
    for (const uploadId of await this.#store.listCompletingIds()) this.#completion.start(uploadId);
    for (const clientId of await this.#store.listWaitingClients()) {
      if (this.#sessions.get(clientId) !== undefined) this.#dispatcher.kick(clientId);
    }
  }

  async #giveUpUnanswered(): Promise<void> {
    const { prepareTimeoutMs: timeoutMs } = this.#settings;
    await this.#clockWatch.look();
    // When an agent was asked is a time of day. Who was asked before the clock was set is given the whole time again.
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
      const answered = await Promise.all(some.map((upload) => this.#ending.closeMultipart(upload)));
      if (answered.includes(false)) return;
    }
  }

  async #lookForOrphans(): Promise<void> {
    const now = this.#clock.elapsed();
    // Listing all pending uploads of a bucket costs requests, and orphans are rare.
    if (now - this.#orphansLookedForAt < this.#orphanAgeMs) return;
    this.#orphansLookedForAt = now;
    await this.#abortOrphans();
  }

  async #step(name: string, run: () => Promise<void>): Promise<void> {
    try {
      await run();
    } catch (error) {
      this.#log.error({ step: name, err: error }, 'sweep step failed; repeated in the next round');
    }
  }
}
