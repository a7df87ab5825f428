import { randomUUID } from 'node:crypto';
import type { ErrorCode, UploadLimits } from '@backhaul/protocol';
import { type Bucket, BucketError } from '../ports/bucket.ts';
import type { Clock } from '../ports/clock.ts';
import type { Log } from '../ports/log.ts';
import type { Store } from '../ports/store.ts';
import type { AgentSession } from '../sessions/agent-session.ts';
import type { SharedTokens } from '../sessions/shared-tokens.ts';
import type { SessionRegistry } from '../sessions/session-registry.ts';
import { AGENT_DISCONNECTED } from '../sessions/end-session.ts';
import type { UploadSettings } from '../upload-settings.ts';
import { MAX_WAIT_MS, waitingForStore } from './attempt-failure.ts';
import type { AttemptRecovery } from './attempt-recovery.ts';
import type { BucketProbe } from './bucket-probe.ts';
import { RESUME_DISABLED, findStoredParts } from './stored-parts.ts';
import { orderedLimits } from './new-upload.ts';
import { prepareUpload } from './prepare-upload.ts';
import type { StorePatience } from './store-patience.ts';
import type { UploadLedger } from './upload-ledger.ts';
import { type StoredPart, type Upload, totalsOf } from './upload.ts';

/** Reason why a client's sent parts are discarded: on another machine the same path may be another file. */
export const STARTED_ELSEWHERE =
  'The upload seems to have been started on another machine with the token of this client; it restarts from the beginning. Give each machine its own client_id and token.';

/** Maximum delay of setTimeout. */
const MAX_TIMEOUT_MS = 2 ** 31 - 1;

/** Hands queued uploads to connected agents: oldest first, never more at once than an agent accepts. */
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
  /** Clients whose queue is being processed, and whether to process it again afterwards. */
  readonly #running = new Map<string, { again: boolean }>();
  readonly #timers = new Set<NodeJS.Timeout>();

  constructor(deps: {
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
    /** Stops all work. */
    signal: AbortSignal;
  }) {
    this.#store = deps.store;
    this.#ledger = deps.ledger;
    this.#bucket = deps.bucket;
    this.#probe = deps.probe;
    this.#recovery = deps.recovery;
    this.#patience = deps.patience;
    this.#clock = deps.clock;
    this.#sessions = deps.sessions;
    this.#sharedTokens = deps.sharedTokens;
    this.#settings = deps.settings;
    this.#log = deps.log;
    this.#signal = deps.signal;
    this.#signal.addEventListener('abort', () => {
      for (const timer of this.#timers) clearTimeout(timer);
      this.#timers.clear();
    });
  }

  /**
   * Processes a client's queue in the background. Calls during a run cause one more run. Called whenever something
   * may have changed; the sweeper calls it too, so a missed call only delays.
   */
  schedule(clientId: string): void {
    if (this.#signal.aborted) return;
    const run = this.#running.get(clientId);
    if (run === undefined) void this.#run(clientId);
    else run.again = true;
  }

  /** Calls {@link schedule} later. After a restart the sweeper takes over. @param at By the clock, ms. */
  scheduleAt(clientId: string, at: number): void {
    if (this.#signal.aborted) return;
    const delayMs = Math.min(MAX_TIMEOUT_MS, Math.max(0, at - this.#clock.now()));
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      // A timer counts from when its loop last read the time, so it may fire some milliseconds early.
      if (this.#clock.now() < at) this.scheduleAt(clientId, at);
      else this.schedule(clientId);
    }, delayMs).unref();
    this.#timers.add(timer);
  }

  /** Never rejects. */
  async #run(clientId: string): Promise<void> {
    const run = { again: true };
    this.#running.set(clientId, run);
    while (run.again && !this.#signal.aborted) {
      run.again = false;
      try {
        await this.#dispatch(clientId);
      } catch (error) {
        const level = error instanceof BucketError ? 'warn' : 'error';
        this.#log[level]({ clientId, err: error }, 'queue not dispatched; the sweeper will retry');
      }
    }
    this.#running.delete(clientId);
  }

  async #dispatch(clientId: string): Promise<void> {
    const session = this.#sessions.get(clientId);
    if (session === undefined) return;
    const running = await this.#store.listRunningIds(clientId);
    const free = session.maxUploads - running.length;
    if (free <= 0) return;
    const next = await this.#store.listQueuedIds(clientId, {
      now: this.#clock.now(),
      maxWaitMs: MAX_WAIT_MS,
      limit: free,
    });
    if (next.length === 0) return;
    // While the store is unavailable uploads wait in the queue: no agent reads and hashes a file in vain.
    try {
      await this.#probe.assertAvailable();
    } catch (error) {
      if (error instanceof BucketError && !this.#signal.aborted)
        await this.#recordStalls(next, waitingForStore(error));
      throw error;
    }
    for (const uploadId of next) await this.#handOver(session, uploadId);
  }

  /** Records the stall for the uploads whose turn it would be. */
  async #recordStalls(uploadIds: readonly string[], reason: string): Promise<void> {
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
    const found = session.canResume ? await this.#findStored(seen) : [];
    await this.#ledger.exclusively(uploadId, async () => {
      // Without a multipart upload the store was not called; the ledger's guard detects later changes of the row.
      const queued = seen.s3UploadId === null ? seen : await this.#store.getUpload(uploadId);
      // The session ended or was replaced during the store call, or the upload has changed since.
      if (this.#sessions.get(session.clientId) !== session || queued?.version !== seen.version) return;
      if (queued.s3UploadId !== null && !session.canResume) {
        const reason = 'The agent cannot resume uploads; the file is sent again.';
        await this.#recovery.startOver(queued, { reason, during: 'queue' });
        return;
      }
      const isElsewhere = this.#sharedTokens.isElsewhere(session.clientId, queued.hostId, session.hostId);
      if (queued.s3UploadId !== null && isElsewhere) {
        await this.#recovery.startOver(queued, { reason: STARTED_ELSEWHERE, during: 'queue' });
        return;
      }
      if ('givenUp' in found) {
        await this.#recovery.giveUpParts(queued, { message: found.givenUp, during: 'queue' });
        return;
      }
      if ('error' in found) {
        await this.#recovery.handleFailure(queued, found, 'queue');
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
          notice: losesParts ? RESUME_DISABLED : undefined,
        },
        queued.s3UploadId === null ? {} : { stored: found },
      );
      if (upload === undefined) return;
      if (this.#sessions.get(session.clientId) !== session) {
        // Ended or replaced while the row was written, possibly too late for the successor to see that.
        await this.#recovery.interrupt(upload, { reason: AGENT_DISCONNECTED });
        return;
      }
      session.send(prepareUpload(upload, { stored: found, known, settings: this.#settings, limits }));
    });
  }

  /** For each limit the most specific setting applies. */
  async #limitsOf({ clientId, limits }: Upload): Promise<UploadLimits | null> {
    const client = await this.#store.getClient(clientId);
    return orderedLimits({ ...this.#settings.limits, ...client?.limits, ...limits });
  }

  /** An upload whose parts cannot be listed waits on its own; otherwise those behind it in the queue would wait too. */
  async #findStored(
    upload: Upload,
  ): Promise<StoredPart[] | { error: ErrorCode; message: string } | { givenUp: string }> {
    try {
      const stored = await findStoredParts(
        { bucket: this.#bucket, store: this.#store, log: this.#log },
        upload,
      );
      this.#patience.forget(upload.uploadId);
      if (stored !== 'missing') return stored;
      const message = 'The object store no longer has the sent parts; the file is sent again.';
      return { error: 'upload_gone', message };
    } catch (error) {
      if (!(error instanceof BucketError) || this.#signal.aborted) throw error;
      if (await this.#patience.isOver(upload, { operation: 'ListParts', error })) {
        return { givenUp: error.message };
      }
      return { error: 'storage_unavailable', message: waitingForStore(error) };
    }
  }
}
