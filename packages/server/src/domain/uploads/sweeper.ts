import type { Clock } from '../ports/clock.ts';
import type { Log } from '../ports/log.ts';
import type { Store } from '../ports/store.ts';
import type { SessionRegistry } from '../sessions/session-registry.ts';
import type { UploadSettings } from '../upload-settings.ts';
import type { Completion } from './completion.ts';
import type { Dispatcher } from './dispatcher.ts';
import type { UploadEnding } from './upload-ending.ts';

const BATCH = 500;
/** Listing all pending uploads of a bucket costs requests; orphans are rare. */
const ORPHAN_INTERVAL_MS = 3_600_000;

/**
 * Makes every hint and every kick dispensable: on a timer it brings back what waits, ends what is overdue and
 * repeats aborts that failed. Each step stands alone, so that one that fails does not hold up the others.
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
  readonly #retentionMs: number;
  readonly #abortOrphans: () => Promise<number>;
  #orphansLookedForAt: number;
  #running: Promise<void> | undefined;

  constructor(parts: {
    store: Store;
    clock: Clock;
    log: Log;
    settings: UploadSettings;
    sessions: SessionRegistry;
    dispatcher: Dispatcher;
    completion: Completion;
    ending: UploadEnding;
    /** How long ended uploads and audit events are kept. */
    retentionMs: number;
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
    this.#retentionMs = parts.retentionMs;
    this.#abortOrphans = parts.abortOrphans;
    this.#orphansLookedForAt = parts.clock.now();
  }

  /** One round; a round already under way is joined. Never rejects. */
  sweep(): Promise<void> {
    this.#running ??= this.#round().finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  /** Resolves when no round is under way. */
  async idle(): Promise<void> {
    await this.#running;
  }

  async #round(): Promise<void> {
    await this.#step('resume', () => this.#resume());
    await this.#step('unanswered', () => this.#giveUpUnanswered());
    await this.#step('expire', () => this.#expire());
    await this.#step('abort', () => this.#abortLeftovers());
    await this.#step('orphans', () => this.#lookForOrphans());
    await this.#step('retain', async () => {
      await this.#store.removeOlderThan(this.#clock.now() - this.#retentionMs);
    });
  }

  async #resume(): Promise<void> {
    for (const uploadId of await this.#store.listCompletingIds()) this.#completion.start(uploadId);
    for (const clientId of await this.#store.listWaitingClients()) {
      if (this.#sessions.get(clientId) !== undefined) this.#dispatcher.kick(clientId);
    }
  }

  async #giveUpUnanswered(): Promise<void> {
    const { prepareTimeoutMs: timeoutMs } = this.#settings;
    const askedBefore = this.#clock.now() - timeoutMs;
    for (const uploadId of await this.#store.listUnansweredIds(askedBefore, BATCH)) {
      await this.#ending.end(uploadId, { type: 'prepare_timeout', timeoutMs });
    }
  }

  async #expire(): Promise<void> {
    for (const uploadId of await this.#store.listOverdueIds(this.#clock.now(), BATCH)) {
      await this.#ending.end(uploadId, { type: 'expire' });
    }
  }

  async #abortLeftovers(): Promise<void> {
    for (const upload of await this.#store.listUploadsWithOpenMultipart(BATCH)) {
      await this.#ending.closeMultipart(upload);
    }
  }

  async #lookForOrphans(): Promise<void> {
    const now = this.#clock.now();
    if (now - this.#orphansLookedForAt < ORPHAN_INTERVAL_MS) return;
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
