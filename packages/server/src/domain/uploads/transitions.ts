import { type ChecksumMode, type ErrorCode, type Fingerprint, isTerminal } from '@backhaul/protocol';
import type { ObjectFacts } from '../ports/bucket.ts';
import { type PartTotals, type Upload, untried } from './upload.ts';
import type { Verification } from '@backhaul/protocol';

/**
 * Everything that can happen to an upload:
 *
 * ```
 *            prepare            prepared             parts_sent            verified
 *  queued ──────────▶ preparing ─────────▶ uploading ───────────▶ completing ────────▶ completed
 *    ▲ ▲                  │ requeue            │ requeue               │
 *    │ └──────────────────┴────────────────────┘                       │
 *    │ retry                                                           │ fail
 *  failed, cancelled, expired ◀── fail, cancel, expire (not cancel or expire while completing),
 *                                 prepare_timeout (only while preparing)
 * ```
 */
export type Transition =
  | {
      readonly type: 'prepare';
      readonly epoch: number;
      readonly objectToken: string;
      readonly checksumMode: ChecksumMode;
    }
  | {
      readonly type: 'prepared';
      readonly sizeBytes: number;
      readonly chunkSize: number;
      readonly partCount: number;
      readonly fingerprint: Fingerprint;
      readonly sourceModifiedAt: number;
      readonly fileName: string;
      readonly s3UploadId: string;
    }
  | { readonly type: 'progress'; readonly totals: PartTotals; readonly partRetries: number }
  | { readonly type: 'stall' }
  | { readonly type: 'adopt'; readonly epoch: number }
  | { readonly type: 'requeue'; readonly message: string }
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
  | { readonly type: 'expire' }
  /** @see UploadSettings.prepareTimeoutMs */
  | { readonly type: 'prepare_timeout'; readonly timeoutMs: number }
  | { readonly type: 'retry'; readonly expiresAt: number }
  | { readonly type: 'multipart_closed' };

/**
 * The state machine. Pure: what an upload becomes, or undefined where the transition is not allowed from its
 * present status (a late or repeated message, a lost race), in which case nothing must happen.
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
        objectToken: transition.objectToken,
        checksumMode: transition.checksumMode,
        startedAt: now,
        message: null,
      };
    case 'prepared':
      if (status !== 'preparing') return undefined;
      return {
        status: 'uploading',
        sizeBytes: transition.sizeBytes,
        chunkSize: transition.chunkSize,
        partCount: transition.partCount,
        fingerprint: transition.fingerprint,
        sourceModifiedAt: transition.sourceModifiedAt,
        fileName: transition.fileName,
        s3UploadId: transition.s3UploadId,
        multipartOpen: true,
      };
    case 'progress':
      if (status !== 'uploading') return undefined;
      return { ...transition.totals, partRetries: transition.partRetries, stalledSince: null };
    case 'stall':
      if ((status !== 'preparing' && status !== 'uploading') || upload.stalledSince !== null)
        return undefined;
      return { stalledSince: now };
    case 'adopt':
      if (status !== 'preparing' && status !== 'uploading') return undefined;
      // An older session that was slow must not take the upload back from a newer one.
      if (upload.epoch !== null && transition.epoch < upload.epoch) return undefined;
      return {
        epoch: transition.epoch,
        stalledSince: null,
        // The time in which an agent must have prepared the file runs only while it is there.
        ...(status === 'preparing' ? { startedAt: now } : {}),
      };
    case 'requeue':
      if (status !== 'preparing' && status !== 'uploading') return undefined;
      return { ...freshAttempt(upload), message: transition.message };
    case 'parts_sent':
      if (status !== 'uploading') return undefined;
      return {
        status: 'completing',
        ...transition.totals,
        stalledSince: null,
        sha256: transition.sha256,
        uploadDurationMs: transition.uploadDurationMs,
      };
    case 'verified':
      if (status !== 'completing') return undefined;
      return {
        status: 'completed',
        completedAt: now,
        multipartOpen: false,
        etag: transition.object.etag,
        versionId: transition.object.versionId,
        serverSideEncryption: transition.object.serverSideEncryption,
        storageClass: transition.object.storageClass,
        crc32: transition.crc32,
        verification: transition.verification,
        error: null,
        message: null,
      };
    case 'fail':
      if (isTerminal(status)) return undefined;
      return ended('failed', transition.error, transition.message, now);
    case 'cancel':
      if (isTerminal(status) || status === 'completing') return undefined;
      return ended('cancelled', 'cancelled', `Cancelled by ${transition.by}.`, now);
    case 'expire':
      if (isTerminal(status) || status === 'completing' || upload.expiresAt > now) return undefined;
      return ended('expired', 'upload_expired', expiryMessage(upload), now);
    case 'prepare_timeout': {
      const { startedAt, stalledSince } = upload;
      // An agent that is away is not held to it, and each handing over has a time of its own.
      if (status !== 'preparing' || stalledSince !== null) return undefined;
      if (startedAt === null || now - startedAt <= transition.timeoutMs) return undefined;
      const message = `The agent did not answer prepare_upload within ${transition.timeoutMs / 1000} s.`;
      return ended('failed', 'agent_fault', message, now);
    }
    case 'retry':
      if (status !== 'failed' && status !== 'cancelled' && status !== 'expired') return undefined;
      return {
        ...freshAttempt(upload),
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

/** Back to the queue with nothing of the last attempt left; its multipart upload is the caller's to abort. */
function freshAttempt(upload: Upload): Partial<Upload> {
  return { ...untried, status: 'queued', attempt: upload.attempt + 1 };
}

function ended(
  status: 'failed' | 'cancelled' | 'expired',
  error: ErrorCode,
  message: string,
  now: number,
): Partial<Upload> {
  return { status, error, message, completedAt: now, stalledSince: null };
}

function expiryMessage(upload: Upload): string {
  return upload.status === 'queued'
    ? 'The agent did not connect, or was busy, until the deadline.'
    : `The transfer was at ${upload.partsCompleted} of ${upload.partCount ?? 'an unknown number of'} parts at the deadline.`;
}
