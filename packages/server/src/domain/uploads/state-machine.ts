import {
  type ChecksumMode,
  type ErrorCode,
  type Fingerprint,
  isTerminal,
  type Verification,
} from '@backhaul/protocol';
import type { ObjectFacts } from '../ports/bucket.ts';
import { isRunning, type PartTotals, RESET_ATTEMPT, type Upload } from './upload.ts';

/** Stage at which an attempt failed. `queue`: before the agent received it. */
export type Stage = 'queue' | 'transfer' | 'completion';

/**
 * All transitions of an upload:
 *
 * ```
 *            prepare            prepared, resumed      parts_sent            verified
 *  queued ──────────▶ preparing ─────────▶ uploading ───────────▶ completing ────────▶ completed
 *    ▲ ▲                  │ interrupt          │ interrupt             │ interrupt
 *    │ │                  │ start_over         │ start_over            │ start_over
 *    │ └──────────────────┴────────────────────┴───────────────────────┤
 *    │ retry                                                           │ fail
 *  failed, cancelled, expired ◀── fail, cancel, expire (not cancel or expire while completing),
 *                                 prepare_timeout (only while preparing)
 *  cancelled ◀── cancel_completing (only while completing, after cancel_request)
 * ```
 *
 * After `interrupt` the next attempt resumes with the parts that S3 has; after `start_over` it starts from scratch.
 */
export type Transition =
  | {
      readonly type: 'prepare';
      readonly epoch: number;
      /** For a first attempt; a resumed one keeps its token, and so its checksum mode. */
      readonly objectToken: string;
      readonly checksumMode: ChecksumMode;
      /** Host where it starts; a resumed one keeps that, too. */
      readonly hostId: string | null;
      /** Parts that S3 already has. */
      readonly totals: PartTotals;
      /** Notice for operators about this attempt. Default: none. */
      readonly notice?: string | undefined;
    }
  | {
      readonly type: 'prepared';
      readonly sizeBytes: number;
      readonly chunkSize: number;
      readonly partCount: number;
      readonly fingerprint: Fingerprint;
      readonly sourceModifiedAt: number;
      /** Null for an empty file, whose object the server writes itself. */
      readonly s3UploadId: string | null;
    }
  | { readonly type: 'resumed' }
  | {
      readonly type: 'progress';
      readonly totals: PartTotals;
      readonly partRetries: number;
      /** Whether the reporting agent has disconnected since: the upload stays stalled then. Default: no. */
      readonly isAgentDisconnected?: boolean;
    }
  | { readonly type: 'stall'; readonly reason: string; readonly nextRetryAt: number | null }
  | { readonly type: 'adopt'; readonly epoch: number }
  | {
      readonly type: 'interrupt';
      /** Restricts the status: a completion may be ended only by its own task. */
      readonly during: Stage;
      readonly reason: string;
      readonly nextAttemptAt: number | null;
    }
  | {
      readonly type: 'start_over';
      readonly during: Stage;
      readonly reason: string;
      readonly nextAttemptAt: number | null;
      /** Age of the multipart upload if the store has dropped it. Default: unchanged. */
      readonly lostAfterMs?: number | null;
    }
  | {
      readonly type: 'parts_sent';
      readonly totals: PartTotals;
      readonly sha256: string | null;
      readonly uploadDurationMs: number;
    }
  | {
      readonly type: 'verified';
      readonly object: ObjectFacts;
      readonly crc32: string;
      readonly verification: Verification;
    }
  | { readonly type: 'fail'; readonly error: ErrorCode; readonly message: string }
  | { readonly type: 'cancel'; readonly by: string }
  /** Remembers a cancel until the store says whether the completing upload is complete. */
  | { readonly type: 'cancel_request'; readonly by: string }
  /** Sent by the completion's task: the object is not complete, and will not be. */
  | {
      readonly type: 'cancel_completing';
      /** Its multipart upload is aborted. */ readonly isAborted: boolean;
    }
  | {
      readonly type: 'expire';
      /** Whether the agent was connected, for the reason of the expiry. Default: no. */
      readonly isAgentConnected?: boolean;
    }
  /** @see UploadSettings.prepareTimeoutMs */
  | { readonly type: 'prepare_timeout'; readonly timeoutMs: number }
  | { readonly type: 'retry'; readonly expiresAt: number }
  | { readonly type: 'multipart_closed' };

/**
 * The state machine. Pure: returns the next state of the upload, or undefined if the transition is not allowed in its
 * status (a late or repeated message, a lost race), in which case nothing may happen.
 */
export function applyTransition(upload: Upload, transition: Transition, now: number): Upload | undefined {
  const changes = changesFor(upload, transition, now);
  return changes === undefined
    ? undefined
    : { ...upload, ...changes, version: upload.version + 1, updatedAt: now };
}

function changesFor(upload: Upload, transition: Transition, now: number): Partial<Upload> | undefined {
  const { status } = upload;
  switch (transition.type) {
    case 'prepare':
      if (status !== 'queued') return undefined;
      return {
        status: 'preparing',
        epoch: transition.epoch,
        ...(upload.s3UploadId === null
          ? {
              objectToken: transition.objectToken,
              checksumMode: transition.checksumMode,
              hostId: transition.hostId,
            }
          : {}),
        ...transition.totals,
        ...CLEAR_STALL,
        startedAt: now,
        message: transition.notice ?? null,
      };
    case 'prepared':
      // A resumed attempt already has a multipart upload; a second one would orphan the first.
      if (status !== 'preparing' || upload.s3UploadId !== null) return undefined;
      return {
        status: 'uploading',
        sizeBytes: transition.sizeBytes,
        chunkSize: transition.chunkSize,
        partCount: transition.partCount,
        fingerprint: transition.fingerprint,
        sourceModifiedAt: transition.sourceModifiedAt,
        s3UploadId: transition.s3UploadId,
        multipartOpen: transition.s3UploadId !== null,
        multipartCreatedAt: transition.s3UploadId === null ? null : now,
      };
    case 'resumed':
      if (status !== 'preparing' || upload.s3UploadId === null) return undefined;
      return { status: 'uploading' };
    case 'progress':
      if (status !== 'uploading') return undefined;
      return {
        ...transition.totals,
        partRetries: transition.partRetries,
        ...(transition.isAgentDisconnected === true ? {} : CLEAR_STALL),
        setbacks: transition.totals.partsCompleted > upload.partsCompleted ? 0 : upload.setbacks,
      };
    case 'stall':
      if (isTerminal(status)) return undefined;
      return {
        stalledSince: upload.stalledSince ?? now,
        stalledReason: transition.reason,
        nextAttemptAt: transition.nextRetryAt,
      };
    case 'adopt':
      if (!isRunning({ status })) return undefined;
      // A slow older session must not take the upload back from a newer one.
      if (upload.epoch !== null && transition.epoch < upload.epoch) return undefined;
      return {
        epoch: transition.epoch,
        ...CLEAR_STALL,
        // The time limit for preparing runs only while the agent is connected.
        ...(status === 'preparing' ? { startedAt: now } : {}),
      };
    case 'interrupt':
      if (!isDuring(transition.during, status) || isToBeCancelled(upload)) return undefined;
      return {
        // Without a multipart upload there is nothing for another attempt to resume.
        ...(upload.s3UploadId === null ? RESET_ATTEMPT : {}),
        ...nextAttempt(upload, transition, now),
        setbacks: upload.setbacks + 1,
        refusedCompletions: upload.refusedCompletions + (status === 'completing' ? 1 : 0),
        sha256: null,
        uploadDurationMs: null,
      };
    case 'start_over':
      if (!isDuring(transition.during, status) || isToBeCancelled(upload)) return undefined;
      return {
        ...RESET_ATTEMPT,
        ...nextAttempt(upload, transition, now),
        restarts: upload.restarts + 1,
        lostAfterMs: transition.lostAfterMs ?? upload.lostAfterMs,
      };
    case 'parts_sent':
      if (status !== 'uploading') return undefined;
      return {
        status: 'completing',
        ...transition.totals,
        ...CLEAR_STALL,
        sha256: transition.sha256,
        uploadDurationMs: transition.uploadDurationMs,
      };
    case 'verified':
      if (status !== 'completing') return undefined;
      return {
        status: 'completed',
        completedAt: now,
        // The object of an empty file is not made from the multipart upload that an older agent got for it.
        multipartOpen: upload.multipartOpen && upload.sizeBytes === 0,
        etag: transition.object.etag,
        versionId: transition.object.versionId,
        serverSideEncryption: transition.object.serverSideEncryption,
        storageClass: transition.object.storageClass,
        crc32: transition.crc32,
        verification: transition.verification,
        ...CLEAR_STALL,
        ...CLEAR_CANCEL,
        error: null,
        message:
          upload.cancelRequestedBy === null
            ? null
            : `The cancel by ${upload.cancelRequestedBy} came too late: the file was complete in the object store.`,
      };
    case 'fail':
      if (isTerminal(status)) return undefined;
      return {
        ...ended('failed', transition.error, transition.message, now),
        ...(mayHaveEmptyObject(upload) ? { multipartOpen: true } : {}),
      };
    case 'cancel':
      if (isTerminal(status) || status === 'completing') return undefined;
      return ended('cancelled', 'cancelled', `Cancelled by ${transition.by}.`, now);
    case 'cancel_request':
      if (status !== 'completing' || isToBeCancelled(upload)) return undefined;
      return {
        cancelRequestedBy: transition.by,
        cancelRequestedAt: now,
        message: `The cancel by ${transition.by} is pending: all parts were sent, and only the object store can say whether the file is complete. If it is not, the upload ends as cancelled.`,
      };
    case 'cancel_completing':
      if (status !== 'completing' || upload.cancelRequestedBy === null) return undefined;
      return {
        ...ended('cancelled', 'cancelled', `Cancelled by ${upload.cancelRequestedBy}.`, now),
        multipartOpen: mayHaveEmptyObject(upload) || (upload.multipartOpen && !transition.isAborted),
      };
    case 'expire':
      if (isTerminal(status) || status === 'completing' || upload.expiresAt > now) return undefined;
      return ended(
        'expired',
        'upload_expired',
        expiryMessage(upload, transition.isAgentConnected === true),
        now,
      );
    case 'prepare_timeout': {
      const { startedAt, stalledSince } = upload;
      // Disconnected agents are exempt, and each dispatch has a time limit of its own.
      if (status !== 'preparing' || stalledSince !== null) return undefined;
      if (startedAt === null) return undefined;
      // A start that far in the future is from before the clock was set back.
      const isFuture = startedAt > now + transition.timeoutMs;
      if (now - startedAt <= transition.timeoutMs && !isFuture) return undefined;
      const message = `The agent did not respond to prepare_upload within ${transition.timeoutMs / 1000} s.`;
      return ended('failed', 'agent_fault', message, now);
    }
    case 'retry':
      if (status !== 'failed' && status !== 'cancelled' && status !== 'expired') return undefined;
      return {
        ...RESET_ATTEMPT,
        status: 'queued',
        attempt: upload.attempt + 1,
        setbacks: 0,
        restarts: 0,
        refusedCompletions: 0,
        lostAfterMs: null,
        error: null,
        message: null,
        completedAt: null,
        expiresAt: transition.expiresAt,
      };
    case 'multipart_closed':
      if (!isTerminal(status) || !upload.multipartOpen) return undefined;
      return { multipartOpen: false };
  }
  return transition satisfies never;
}

/** Reset when an upload makes progress. */
const CLEAR_STALL = { stalledSince: null, stalledReason: null, nextAttemptAt: null } as const;

const CLEAR_CANCEL = { cancelRequestedBy: null, cancelRequestedAt: null } as const;

function isToBeCancelled({ cancelRequestedBy }: Upload): boolean {
  return cancelRequestedBy !== null;
}

/**
 * An empty file has no multipart upload, so no abort prevents its PutObject from taking effect: the sweeper checks
 * for it later.
 */
function mayHaveEmptyObject({ status, s3UploadId }: Upload): boolean {
  return status === 'completing' && s3UploadId === null;
}

function isDuring(stage: Stage, status: Upload['status']): boolean {
  if (stage === 'transfer') return isRunning({ status });
  return status === (stage === 'queue' ? 'queued' : 'completing');
}

/** Requeues the upload. It counts as stalled until the next attempt has started. */
function nextAttempt(
  upload: Upload,
  { reason, nextAttemptAt }: { readonly reason: string; readonly nextAttemptAt: number | null },
  now: number,
): Partial<Upload> {
  return {
    status: 'queued',
    attempt: upload.attempt + 1,
    epoch: null,
    startedAt: null,
    stalledSince: upload.stalledSince ?? now,
    stalledReason: reason,
    nextAttemptAt,
    message: reason,
  };
}

function ended(
  status: 'failed' | 'cancelled' | 'expired',
  error: ErrorCode,
  message: string,
  now: number,
): Partial<Upload> {
  return { status, error, message, completedAt: now, ...CLEAR_STALL, ...CLEAR_CANCEL };
}

function expiryMessage(upload: Upload, isAgentConnected: boolean): string {
  const isForItsTurn = upload.stalledReason === null || !isAgentConnected;
  if (upload.status === 'queued' && upload.attempt === 1 && isForItsTurn) {
    return isAgentConnected
      ? 'The agent is connected, but the upload was still queued at the deadline.'
      : 'The agent was offline: it did not connect before the deadline.';
  }
  const last = upload.stalledReason === null ? '' : ` Last: ${upload.stalledReason}`;
  return `The transfer was at ${upload.partsCompleted} of ${upload.partCount ?? 'an unknown number of'} parts at the deadline.${last}`;
}
