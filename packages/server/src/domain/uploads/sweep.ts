import { isTerminal, uploadIdSchema } from '@backhaul/protocol';
import type { SessionRegistry } from '../agents/session.ts';
import type { TokenRenewal } from '../agents/token-renewal.ts';
import type { RefusedRequests } from '../refused-requests.ts';
import { type Bucket, type PendingUpload, TRIAL_FOLDER } from '../ports/bucket.ts';
import type { Clock } from '../ports/clock.ts';
import type { Log } from '../ports/log.ts';
import type { Store } from '../ports/store.ts';
import type { UploadSettings } from '../upload-settings.ts';
import type { ClockWatch } from '../clock-watch.ts';
import type { Completion } from './complete.ts';
import type { Dispatcher } from './dispatch.ts';
import type { UploadEnding } from './end.ts';
import type { Expiry } from './expire.ts';
import type { Retention } from '../retention.ts';

const BATCH = 500;
const ABORTS_AT_ONCE = 4;

interface SweeperDeps {
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Log;
  readonly settings: UploadSettings;
  readonly sessions: SessionRegistry;
  readonly dispatcher: Dispatcher;
  readonly completion: Completion;
  readonly ending: UploadEnding;
  readonly expiry: Expiry;
  readonly clockWatch: ClockWatch;
  readonly retention: Retention;
  readonly renewal: TokenRenewal;
  readonly refusals: Pick<RefusedRequests, 'flush'>;
  readonly bucket: Bucket;
  /** Milliseconds pass between Create and its row; a younger multipart upload may still get its row. */
  readonly orphanAgeMs: number;
}

/**
 * Makes hints and scheduled calls dispensable: on a timer it dispatches waiting uploads, ends overdue ones and
 * retries failed aborts. Each step is independent, so that a failing one does not delay the others; steps that call
 * the object store run separately, so that a hanging store delays nothing that only needs the database.
 */
export class Sweeper {
  readonly #deps: SweeperDeps;
  #orphansSweptAt = -Infinity;
  #running: Promise<void> | undefined;
  #cleaning: Promise<void> | undefined;

  constructor(deps: SweeperDeps) {
    this.#deps = deps;
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
    await this.#step('expire', () => this.#deps.expiry.endOverdue());
    await this.#step('retain', () => this.#deps.retention.run());
    // After the clock check: a token from the future would be refused once the clock is correct again.
    if (!this.#deps.retention.isHeld) await this.#step('renew', () => this.#deps.renewal.renewDue());
    await this.#deps.refusals.flush();
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
    for (const uploadId of await this.#deps.store.listCompletingIds()) this.#deps.completion.start(uploadId);
    for (const clientId of await this.#deps.store.listWaitingClients()) {
      if (this.#deps.sessions.get(clientId) !== undefined) this.#deps.dispatcher.schedule(clientId);
    }
  }

  async #giveUpUnanswered(): Promise<void> {
    const { prepareTimeoutMs: timeoutMs } = this.#deps.settings;
    await this.#deps.clockWatch.check();
    // The start of a preparation is a time of day. Agents that started before the clock was set get the whole time
    // again.
    if (this.#deps.clockWatch.steadyForMs <= timeoutMs) return;
    const now = this.#deps.clock.now();
    const asked = { before: now - timeoutMs, orAfter: now + timeoutMs };
    for (const uploadId of await this.#deps.store.listUnansweredIds(asked, BATCH)) {
      await this.#deps.ending.end(uploadId, { type: 'prepare_timeout', timeoutMs });
    }
  }

  async #abortLeftovers(): Promise<void> {
    const open = await this.#deps.store.listUploadsWithOpenMultipart(BATCH);
    for (let start = 0; start < open.length; start += ABORTS_AT_ONCE) {
      const some = open.slice(start, start + ABORTS_AT_ONCE);
      const responses = await Promise.all(some.map((upload) => this.#deps.ending.closeMultipart(upload)));
      if (responses.includes(false)) return;
    }
  }

  async #sweepOrphans(): Promise<void> {
    const now = this.#deps.clock.elapsed();
    // Listing all pending uploads of a bucket costs requests, and orphans are rare.
    if (now - this.#orphansSweptAt < this.#deps.orphanAgeMs) return;
    this.#orphansSweptAt = now;
    await abortOrphans(this.#deps);
  }

  async #step(name: string, run: () => Promise<void>): Promise<void> {
    try {
      await run();
    } catch (error) {
      this.#deps.log.error({ step: name, err: error }, 'sweep step failed; the next round will retry');
    }
  }
}

/** A trial takes seconds; an older one was left by a server that was killed during it. */
const TRIAL_AGE_MS = 3_600_000;

/**
 * Aborts multipart uploads that S3 still has for our uploads but that no row refers to: the server was killed between
 * Create and the row, the abort of an ended attempt failed, or parts in flight outlived it.
 *
 * Another server may share bucket and prefix, so uploads unknown to the database are left alone; old trials of the
 * store belong to no server any more.
 */
async function abortOrphans({
  store,
  bucket,
  clock,
  log,
  settings,
  orphanAgeMs,
}: SweeperDeps): Promise<void> {
  const ours = settings.keyPrefix === '' ? '' : `${settings.keyPrefix}/`;
  for await (const pending of bucket.listMultipartUploads(ours)) {
    const ageMs = clock.now() - pending.initiatedAt;
    const isLeft = pending.key.startsWith(`${ours}${TRIAL_FOLDER}/`)
      ? ageMs >= Math.max(TRIAL_AGE_MS, orphanAgeMs)
      : ageMs >= orphanAgeMs && (await isOrphan(store, pending));
    if (!isLeft) continue;
    try {
      await bucket.abortMultipartUpload(pending);
      log.info({ key: pending.key }, 'orphaned multipart upload aborted');
    } catch (error) {
      // One failed abort must not stop the others.
      log.warn({ key: pending.key, err: error }, 'abort of an orphan failed; the next sweep will retry');
    }
  }
}

async function isOrphan(store: Store, pending: PendingUpload): Promise<boolean> {
  const uploadId = uploadIdSchema.safeParse(pending.key.split('/').at(-2));
  if (!uploadId.success) return false;
  const upload = await store.getUpload(uploadId.data);
  if (upload?.key !== pending.key) return false;
  // Parts in flight can land after an abort, and then it has to be repeated (S3, AbortMultipartUpload).
  const isClosed = isTerminal(upload.status) && !upload.multipartOpen;
  return isClosed || upload.s3UploadId !== pending.s3UploadId;
}
