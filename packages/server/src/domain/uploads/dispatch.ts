import { randomUUID } from 'node:crypto';
import {
  type ErrorCode,
  type PrepareUpload,
  RESUME_CAPABILITY,
  type ResumeState,
  UPLOAD_LIMITS_CAPABILITY,
  type UploadLimits,
} from '@backhaul/protocol';
import { AGENT_DISCONNECTED, type AgentSession, type SessionRegistry } from '../agents/session.ts';
import { type SharedTokens, STARTED_ELSEWHERE } from '../agents/shared-tokens.ts';
import { type Bucket, BucketError } from '../ports/bucket.ts';
import { type Clock, delayUntil } from '../ports/clock.ts';
import type { Log } from '../ports/log.ts';
import type { Store } from '../ports/store.ts';
import { planRule, type UploadSettings, WINDOW_PARTS } from '../upload-settings.ts';
import { type BucketProbe, type StorePatience, waitingForStore } from './bucket-outage.ts';
import { orderedLimits } from './create.ts';
import type { UploadLedger } from './ledger.ts';
import { type AttemptRecovery, MAX_WAIT_MS } from './requeue.ts';
import { findStoredParts, RESUME_DISABLED } from './stored-parts.ts';
import { type StoredPart, totalsOf, type Upload, type UploadPart } from './upload.ts';

interface DispatcherDeps {
  readonly store: Store;
  readonly ledger: UploadLedger;
  readonly bucket: Bucket;
  readonly probe: BucketProbe;
  readonly recovery: AttemptRecovery;
  readonly patience: StorePatience;
  readonly clock: Clock;
  readonly sessions: SessionRegistry;
  readonly sharedTokens: SharedTokens;
  readonly settings: UploadSettings;
  readonly log: Log;
  /** Stops all work. */
  readonly signal: AbortSignal;
}

/** Hands queued uploads to connected agents: oldest first, never more at once than an agent accepts. */
export class Dispatcher {
  readonly #deps: DispatcherDeps;
  /** Clients whose queue is being processed, and whether to process it again afterwards. */
  readonly #running = new Map<string, { again: boolean }>();
  readonly #timers = new Set<NodeJS.Timeout>();

  constructor(deps: DispatcherDeps) {
    this.#deps = deps;
    deps.signal.addEventListener('abort', () => {
      for (const timer of this.#timers) clearTimeout(timer);
      this.#timers.clear();
    });
  }

  /**
   * Processes a client's queue in the background. Calls during a run cause one more run. Called whenever something
   * may have changed; the sweeper calls it too, so a missed call only delays.
   */
  schedule(clientId: string): void {
    if (this.#deps.signal.aborted) return;
    const run = this.#running.get(clientId);
    if (run === undefined) void this.#run(clientId);
    else run.again = true;
  }

  /** Calls {@link schedule} later. After a restart the sweeper takes over. @param at By the clock, ms. */
  scheduleAt(clientId: string, at: number): void {
    if (this.#deps.signal.aborted) return;
    const timer = setTimeout(
      () => {
        this.#timers.delete(timer);
        // A timer counts from when its loop last read the time, so it may fire some milliseconds early.
        if (this.#deps.clock.now() < at) this.scheduleAt(clientId, at);
        else this.schedule(clientId);
      },
      delayUntil(at, this.#deps.clock),
    ).unref();
    this.#timers.add(timer);
  }

  /** Never rejects. */
  async #run(clientId: string): Promise<void> {
    const run = { again: true };
    this.#running.set(clientId, run);
    while (run.again && !this.#deps.signal.aborted) {
      run.again = false;
      try {
        await this.#dispatch(clientId);
      } catch (error) {
        const level = error instanceof BucketError ? 'warn' : 'error';
        this.#deps.log[level]({ clientId, err: error }, 'queue not dispatched; the sweeper will retry');
      }
    }
    this.#running.delete(clientId);
  }

  async #dispatch(clientId: string): Promise<void> {
    const session = this.#deps.sessions.get(clientId);
    if (session === undefined) return;
    const running = await this.#deps.store.listRunningIds(clientId);
    const free = session.maxUploads - running.length;
    if (free <= 0) return;
    const next = await this.#deps.store.listQueuedIds(clientId, {
      now: this.#deps.clock.now(),
      maxWaitMs: MAX_WAIT_MS,
      limit: free,
    });
    if (next.length === 0) return;
    // While the store is unavailable uploads wait in the queue: no agent reads and hashes a file in vain.
    try {
      await this.#deps.probe.assertAvailable();
    } catch (error) {
      if (error instanceof BucketError && !this.#deps.signal.aborted)
        await this.#recordStalls(next, waitingForStore(error));
      throw error;
    }
    for (const uploadId of next) await this.#handOver(session, uploadId);
  }

  /** Records the stall for the uploads whose turn it would be. */
  async #recordStalls(uploadIds: readonly string[], reason: string): Promise<void> {
    for (const uploadId of uploadIds) {
      await this.#deps.ledger.exclusively(uploadId, async () => {
        const upload = await this.#deps.store.getUpload(uploadId);
        if (upload?.status !== 'queued' || upload.stalledReason === reason) return;
        await this.#deps.ledger.apply(upload, { type: 'stall', reason, nextRetryAt: null });
      });
    }
  }

  async #handOver(session: AgentSession, uploadId: string): Promise<void> {
    const { store, ledger, recovery, sessions, settings } = this.#deps;
    const { checksumMode, partProof } = await this.#deps.bucket.capabilities();
    const seen = await store.getUpload(uploadId);
    if (seen?.status !== 'queued') return;
    // Nothing is known of a file that no agent has opened yet. The parts of a queued upload change only with its row.
    const known = seen.partCount === null ? [] : await store.listParts(uploadId);
    const found = session.capabilities.has(RESUME_CAPABILITY) ? await this.#findStored(seen, known) : [];
    // Not under the lock until now: a call to the object store must not hold up a cancel.
    await ledger.exclusively(uploadId, async () => {
      // Without a multipart upload the store was not called; the ledger's guard detects later changes of the row.
      const queued = seen.s3UploadId === null ? seen : await store.getUpload(uploadId);
      // The session ended or was replaced during the store call, or the upload has changed since.
      if (sessions.get(session.clientId) !== session || queued?.version !== seen.version) return;
      const obstacle = this.#obstacleToResume(session, queued);
      if (obstacle !== undefined) {
        await recovery.startOver(queued, { reason: obstacle, during: 'queue' });
      } else if ('givenUp' in found) {
        await recovery.giveUpParts(queued, { message: found.givenUp, during: 'queue' });
      } else if ('error' in found) {
        await recovery.handleFailure(queued, found, 'queue');
      } else {
        const limits = session.capabilities.has(UPLOAD_LIMITS_CAPABILITY)
          ? await this.#limitsOf(queued)
          : null;
        const losesParts = partProof === 'none' && known.some(({ etag }) => etag !== null);
        const upload = await ledger.apply(
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
        if (sessions.get(session.clientId) === session) {
          session.send(prepareUpload(upload, { stored: found, known, settings, limits }));
        } else {
          // Ended or replaced while the row was written, possibly too late for the successor to see that.
          await recovery.interrupt(upload, { reason: AGENT_DISCONNECTED });
        }
      }
    });
  }

  /** @returns why this agent must not continue the multipart upload; undefined if it may, or there is none. */
  #obstacleToResume(session: AgentSession, { s3UploadId, hostId }: Upload): string | undefined {
    if (s3UploadId === null) return undefined;
    if (!session.capabilities.has(RESUME_CAPABILITY))
      return 'The agent cannot resume uploads; the file is sent again.';
    const isElsewhere = this.#deps.sharedTokens.isElsewhere(session.clientId, hostId, session.hostId);
    return isElsewhere ? STARTED_ELSEWHERE : undefined;
  }

  /** For each limit the most specific setting applies. */
  async #limitsOf({ clientId, limits }: Upload): Promise<UploadLimits | null> {
    const client = await this.#deps.store.getClient(clientId);
    return orderedLimits({ ...this.#deps.settings.limits, ...client?.limits, ...limits });
  }

  /** An upload whose parts cannot be listed waits on its own; otherwise those behind it in the queue would wait too. */
  async #findStored(
    upload: Upload,
    known: readonly UploadPart[],
  ): Promise<StoredPart[] | { error: ErrorCode; message: string } | { givenUp: string }> {
    try {
      const stored = await findStoredParts(this.#deps, upload, known);
      this.#deps.patience.forget(upload.uploadId);
      if (stored !== 'missing') return stored;
      const message = 'The object store no longer has the sent parts; the file is sent again.';
      return { error: 'upload_gone', message };
    } catch (error) {
      if (!(error instanceof BucketError) || this.#deps.signal.aborted) throw error;
      if (await this.#deps.patience.isOver(upload, { operation: 'ListParts', error })) {
        return { givenUp: error.message };
      }
      return { error: 'storage_unavailable', message: waitingForStore(error) };
    }
  }
}

interface PrepareOptions {
  /** Parts of an earlier attempt that S3 has. */
  readonly stored: readonly StoredPart[];
  /** All recorded parts. */
  readonly known: readonly UploadPart[];
  readonly settings: UploadSettings;
  /** Null for an agent that does not support them. */
  readonly limits: UploadLimits | null;
}

/** The message that hands an upload to its agent, to start or to resume it. */
export function prepareUpload(
  upload: Upload,
  { stored, known, settings, limits }: PrepareOptions,
): PrepareUpload {
  if (upload.checksumMode === null) throw new Error('the upload is dispatched without a checksum mode');
  const resume = resumeState(upload, stored, known);
  return {
    action: 'prepare_upload',
    upload_id: upload.uploadId,
    attempt: upload.attempt,
    file_path: upload.filePath,
    plan: {
      min_chunk_size: planRule.minChunkSize,
      max_parts: planRule.maxParts,
      window_size: WINDOW_PARTS,
      ...(settings.maxFileSize === null ? {} : { max_file_size: settings.maxFileSize }),
    },
    checksum_mode: upload.checksumMode,
    on_change: upload.onChange,
    ...(limits === null ? {} : { limits }),
    ...(resume === undefined ? {} : { resume }),
    expires_in_ms: settings.prepareTimeoutMs,
  };
}

/** Undefined for an attempt that starts from scratch. */
function resumeState(
  { sizeBytes, fingerprint, s3UploadId, checksumMode }: Upload,
  stored: readonly StoredPart[],
  known: readonly UploadPart[],
): ResumeState | undefined {
  if (s3UploadId === null || sizeBytes === null || fingerprint === null) return undefined;
  const numbers = new Set(stored.map(({ partNumber }) => partNumber));
  return {
    size: sizeBytes,
    fingerprint,
    kept_parts: known
      .filter(({ partNumber }) => numbers.has(partNumber))
      .map(({ partNumber, crc32, sha256 }) => ({
        part_number: partNumber,
        crc32,
        // Only where it binds the part: ten thousand of them just fit into a frame.
        ...(checksumMode === 'sha256' && sha256 !== null ? { sha256 } : {}),
      })),
  };
}
