import { randomUUID } from 'node:crypto';
import type { ErrorCode, UploadLimits } from '@backhaul/protocol';
import { type Bucket, BucketError } from '../ports/bucket.ts';
import type { Clock } from '../ports/clock.ts';
import type { Log } from '../ports/log.ts';
import type { Store } from '../ports/store.ts';
import type { AgentSession } from '../sessions/agent-session.ts';
import type { SharedTokens } from '../sessions/shared-tokens.ts';
import type { SessionRegistry } from '../sessions/session-registry.ts';
import { AGENT_AWAY } from '../sessions/end-session.ts';
import type { UploadSettings } from '../upload-settings.ts';
import { LONGEST_WAIT_MS, storeAway } from './attempt-failure.ts';
import type { AttemptRecovery } from './attempt-recovery.ts';
import type { BucketProbe } from './bucket-probe.ts';
import { RESUME_IS_OFF, findKeptParts } from './kept-parts.ts';
import { orderedLimits } from './new-upload.ts';
import { prepareUpload } from './prepare-upload.ts';
import type { StorePatience } from './store-patience.ts';
import type { UploadLedger } from './upload-ledger.ts';
import { type KeptPart, type Upload, totalsOf } from './upload.ts';

/** Why parts that a client has sent are not kept. Its file may be another one there, though of the same path. */
export const BEGUN_ELSEWHERE =
  'The upload seems to have been begun on another machine with the token of this client; it is sent again from the start. Give each machine its own client_id and token.';

/** What setTimeout can count. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** Hands queued uploads to connected agents: oldest first, never more at once than an agent takes. */
export class Dispatcher {
  readonly #store: Store;
  readonly #ledger: UploadLedger;
  readonly #bucket: Bucket;
  readonly #probe: BucketProbe;
  readonly #recovery: AttemptRecovery;
  readonly #patience: StorePatience;
  readonly #clock: Clock;
  readonly #sessions: SessionRegistry;
  readonly #sharedTokens: SharedTokens;
  readonly #settings: UploadSettings;
  readonly #log: Log;
  readonly #signal: AbortSignal;
  /** Clients whose queue is being looked at; whether to look again after that. */
  readonly #looks = new Map<string, { again: boolean }>();
  readonly #later = new Set<NodeJS.Timeout>();

  constructor(parts: {
    store: Store;
    ledger: UploadLedger;
    bucket: Bucket;
    probe: BucketProbe;
    recovery: AttemptRecovery;
    patience: StorePatience;
    clock: Clock;
    sessions: SessionRegistry;
    sharedTokens: SharedTokens;
    settings: UploadSettings;
    log: Log;
    /** Ends all of it. */
    signal: AbortSignal;
  }) {
    this.#store = parts.store;
    this.#ledger = parts.ledger;
    this.#bucket = parts.bucket;
    this.#probe = parts.probe;
    this.#recovery = parts.recovery;
    this.#patience = parts.patience;
    this.#clock = parts.clock;
    this.#sessions = parts.sessions;
    this.#sharedTokens = parts.sharedTokens;
    this.#settings = parts.settings;
    this.#log = parts.log;
    this.#signal = parts.signal;
    this.#signal.addEventListener('abort', () => {
      for (const timer of this.#later) clearTimeout(timer);
      this.#later.clear();
    });
  }

  /**
   * Looks at one client's queue, in the background; once more after a look that is under way, however often it
   * is called meanwhile. Called whenever something may have changed; the sweeper calls it as well, so a missed
   * call only delays.
   */
  kick(clientId: string): void {
    if (this.#signal.aborted) return;
    const look = this.#looks.get(clientId);
    if (look === undefined) void this.#look(clientId);
    else look.again = true;
  }

  /** The same later. A server that is restarted before leaves it to its sweeper. @param at By the clock, ms. */
  kickAt(clientId: string, at: number): void {
    if (this.#signal.aborted) return;
    const delayMs = Math.min(LONGEST_TIMER_MS, Math.max(0, at - this.#clock.now()));
    const timer = setTimeout(() => {
      this.#later.delete(timer);
      // A timer counts from when its loop last looked at the time, so it may fire some milliseconds early.
      if (this.#clock.now() < at) this.kickAt(clientId, at);
      else this.kick(clientId);
    }, delayMs).unref();
    this.#later.add(timer);
  }

  /** Never rejects. */
  async #look(clientId: string): Promise<void> {
    const look = { again: true };
    this.#looks.set(clientId, look);
    while (look.again && !this.#signal.aborted) {
      look.again = false;
      try {
        await this.#dispatch(clientId);
      } catch (error) {
        const level = error instanceof BucketError ? 'warn' : 'error';
        this.#log[level]({ clientId, err: error }, 'queue not dispatched; tried again by the sweeper');
      }
    }
    this.#looks.delete(clientId);
  }

  async #dispatch(clientId: string): Promise<void> {
    const session = this.#sessions.get(clientId);
    if (session === undefined) return;
    const running = await this.#store.listRunningIds(clientId);
    const free = session.maxUploads - running.length;
    if (free <= 0) return;
    const next = await this.#store.listQueuedIds(clientId, {
      now: this.#clock.now(),
      longestWaitMs: LONGEST_WAIT_MS,
      limit: free,
    });
    if (next.length === 0) return;
    // While the store is away the queue is the place to wait: no agent reads and hashes a file in vain.
    try {
      await this.#probe.assertAnswers();
    } catch (error) {
      if (error instanceof BucketError && !this.#signal.aborted) await this.#sayWhy(next, storeAway(error));
      throw error;
    }
    for (const uploadId of next) await this.#handOver(session, uploadId);
  }

  /** Whose turn it would be. */
  async #sayWhy(uploadIds: readonly string[], reason: string): Promise<void> {
    for (const uploadId of uploadIds) {
      await this.#ledger.exclusively(uploadId, async () => {
        const upload = await this.#store.getUpload(uploadId);
        if (upload?.status !== 'queued' || upload.stalledReason === reason) return;
        await this.#ledger.apply(upload, { type: 'stall', reason, nextRetryAt: null });
      });
    }
  }

  async #handOver(session: AgentSession, uploadId: string): Promise<void> {
    const { checksumMode, partProof } = await this.#bucket.capabilities();
    const seen = await this.#store.getUpload(uploadId);
    if (seen?.status !== 'queued') return;
    const found = session.canResume ? await this.#findKept(seen) : [];
    await this.#ledger.exclusively(uploadId, async () => {
      // Of one without parts the store was asked nothing, and what it is by now the ledger sees when it writes.
      const queued = seen.s3UploadId === null ? seen : await this.#store.getUpload(uploadId);
      // Gone or replaced while the store was asked; or what it was asked for has moved on.
      if (this.#sessions.get(session.clientId) !== session || queued?.version !== seen.version) return;
      if (queued.s3UploadId !== null && !session.canResume) {
        const reason = 'The agent cannot resume uploads; the file is sent again.';
        await this.#recovery.startOver(queued, { reason, during: 'queue' });
        return;
      }
      const isElsewhere = this.#sharedTokens.isElsewhere(session.clientId, queued.hostId, session.hostId);
      if (queued.s3UploadId !== null && isElsewhere) {
        await this.#recovery.startOver(queued, { reason: BEGUN_ELSEWHERE, during: 'queue' });
        return;
      }
      if ('givenUp' in found) {
        await this.#recovery.giveUpParts(queued, { message: found.givenUp, during: 'queue' });
        return;
      }
      if ('error' in found) {
        await this.#recovery.settle(queued, found, 'queue');
        return;
      }
      // Nothing is known of a file that no agent has opened yet.
      const known = queued.partCount === null ? [] : await this.#store.listParts(uploadId);
      const limits = session.takesLimits ? await this.#limitsOf(queued) : null;
      const losesParts = partProof === 'none' && known.some(({ etag }) => etag !== null);
      const upload = await this.#ledger.apply(
        queued,
        {
          type: 'prepare',
          epoch: session.epoch,
          objectToken: randomUUID(),
          checksumMode,
          hostId: session.hostId,
          totals: totalsOf(found, known),
          notice: losesParts ? RESUME_IS_OFF : undefined,
        },
        queued.s3UploadId === null ? {} : { kept: found },
      );
      if (upload === undefined) return;
      if (this.#sessions.get(session.clientId) !== session) {
        // Ended or replaced while the row was written, and possibly too late for its successor to see that.
        await this.#recovery.interrupt(upload, { reason: AGENT_AWAY });
        return;
      }
      session.send(prepareUpload(upload, { kept: found, known, settings: this.#settings, limits }));
    });
  }

  /** The nearest that is set holds, of each kind. */
  async #limitsOf({ clientId, limits }: Upload): Promise<UploadLimits | null> {
    const client = await this.#store.getClient(clientId);
    return orderedLimits({ ...this.#settings.limits, ...client?.limits, ...limits });
  }

  /** One that cannot be asked for has to wait by itself, or those behind it in the queue would wait with it. */
  async #findKept(
    upload: Upload,
  ): Promise<KeptPart[] | { error: ErrorCode; message: string } | { givenUp: string }> {
    try {
      const kept = await findKeptParts({ bucket: this.#bucket, store: this.#store, log: this.#log }, upload);
      this.#patience.forget(upload.uploadId);
      if (kept !== 'gone') return kept;
      const message = 'The object store no longer has what was sent; the file is sent again.';
      return { error: 'upload_gone', message };
    } catch (error) {
      if (!(error instanceof BucketError) || this.#signal.aborted) throw error;
      if (await this.#patience.isOver(upload, { operation: 'ListParts', error })) {
        return { givenUp: error.message };
      }
      return { error: 'storage_unavailable', message: storeAway(error) };
    }
  }
}
