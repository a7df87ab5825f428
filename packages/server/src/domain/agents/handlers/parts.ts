import {
  BackhaulError,
  type ChecksumMode,
  type DownloadFile,
  type PartAnnouncement,
  type PartPlan,
  partRange,
  type PartsReady,
  type PartUploaded,
  planParts,
  type Stalled,
} from '@backhaul/protocol';
import { planRule } from '../../upload-settings.ts';
import type { Upload, UploadPart } from '../../uploads/upload.ts';
import type { AgentSession } from '../session.ts';
import { type TransferContext, withoutSignatures, withOwnedUpload } from './context.ts';

/** The agent requests URLs: for its next window, or again for parts whose URLs expired. */
export function partsReady(
  context: TransferContext,
  session: AgentSession,
  message: PartsReady,
): Promise<void> {
  return withOwnedUpload(context, session, message, async (upload) => {
    if (upload.status !== 'uploading' || upload.sizeBytes === null || upload.checksumMode === null) return;
    // No part is sent of an empty file that the server writes.
    if (upload.s3UploadId === null) return;
    try {
      const plan = planParts(upload.sizeBytes, planRule);
      const announced = checkAnnouncement(plan, upload.checksumMode, message.parts);
      await recordParts(context, upload, announced);
    } catch (error) {
      if (!(error instanceof BackhaulError)) throw error;
      await context.recovery.handleFailure(upload, { error: error.code, message: error.message });
      return;
    }
    session.send({
      action: 'part_urls',
      upload_id: upload.uploadId,
      attempt: upload.attempt,
      ...(await signWindow(context, upload, message.parts)),
    });
  });
}

/** S3 has acknowledged parts: stores their ETags and updates the progress. */
export function partUploaded(
  context: TransferContext,
  session: AgentSession,
  message: PartUploaded,
): Promise<void> {
  return withOwnedUpload(context, session, message, async (upload) => {
    if (upload.status !== 'uploading') return;
    const reported = reportedParts(upload, message.parts);
    if (reported.length === 0) return;
    const totals = await context.store.recordUploadedParts(upload.uploadId, reported);
    // The message may have been sent before the session ended or its client was deleted, and processed only now.
    const isAgentDisconnected = context.sessions.newest(session.clientId) !== session;
    const unchanged =
      totals.partsCompleted === upload.partsCompleted &&
      (upload.stalledSince === null || isAgentDisconnected) &&
      upload.partRetries === message.retries;
    if (unchanged) return;
    await context.ledger.apply(upload, {
      type: 'progress',
      totals,
      partRetries: message.retries,
      isAgentDisconnected,
    });
  });
}

/** Agents report every few seconds; more often adds no information but costs a write and an event each time. */
const MIN_INTERVAL_MS = 1000;

/** The agent cannot store parts at the moment; the record says so until the next part is stored. */
export function stalled(context: TransferContext, session: AgentSession, message: Stalled): Promise<void> {
  return withOwnedUpload(context, session, message, async (upload) => {
    if (upload.status !== 'uploading') return;
    const now = context.clock.now();
    const sinceLastMs = now - upload.updatedAt;
    if (upload.stalledSince !== null && sinceLastMs >= 0 && sinceLastMs < MIN_INTERVAL_MS) return;
    await context.ledger.apply(upload, {
      type: 'stall',
      reason: withoutSignatures(message.reason),
      nextRetryAt: now + message.retry_in_ms,
    });
  });
}

type AnnouncedPart = Omit<UploadPart, 'etag'>;

/**
 * Checks announced parts against the plan: an agent gets URLs only for parts that exist, with exactly the length in
 * the plan and the checksum that the store will enforce.
 *
 * @throws BackhaulError `protocol_error`
 */
export function checkAnnouncement(
  plan: PartPlan,
  mode: ChecksumMode,
  parts: readonly PartAnnouncement[],
): AnnouncedPart[] {
  const seen = new Set<number>();
  return parts.map((part) => {
    const refuse = (problem: string) =>
      new BackhaulError('protocol_error', `The agent announced part ${part.part_number} ${problem}.`);
    if (part.part_number > plan.partCount) throw refuse(`but the file has ${plan.partCount}`);
    if (seen.has(part.part_number)) throw refuse('twice');
    seen.add(part.part_number);
    const { length } = partRange(plan, part.part_number);
    if (part.size !== length) throw refuse(`with ${part.size} bytes; the plan says ${length}`);
    if ((mode === 'sha256' || mode === 'md5') && part[mode] === undefined) {
      throw refuse(`without its ${mode}, which checksum_mode requires`);
    }
    return {
      partNumber: part.part_number,
      sizeBytes: part.size,
      crc32: part.crc32,
      sha256: part.sha256 ?? null,
      md5: part.md5 ?? null,
    };
  });
}

/**
 * Records announced parts. A part that is announced again, for a fresh URL or after an interruption, must be
 * unchanged: other bytes are another version of the file.
 *
 * @throws BackhaulError `file_changed`
 */
export async function recordParts(
  context: TransferContext,
  { uploadId, filePath }: Upload,
  parts: readonly AnnouncedPart[],
): Promise<void> {
  const changed = await context.store.announceParts(uploadId, parts);
  if (changed.length === 0) return;
  throw new BackhaulError(
    'file_changed',
    `${JSON.stringify(filePath)} changed during the upload: part ${changed[0]} is different now.`,
  );
}

type UrlWindow = Pick<DownloadFile['upload_config'], 'presigned_urls' | 'expires_at' | 'expires_in_ms'>;

/** Signs URLs for parts that are already recorded, never before. */
export async function signWindow(
  context: TransferContext,
  upload: Upload,
  parts: readonly PartAnnouncement[],
): Promise<UrlWindow> {
  if (upload.s3UploadId === null || upload.checksumMode === null) {
    throw new Error('the upload has no multipart upload to sign for');
  }
  const { urls, expiresAt } = await context.bucket.signParts(
    { key: upload.key, s3UploadId: upload.s3UploadId },
    parts.map((part) => ({
      partNumber: part.part_number,
      sizeBytes: part.size,
      crc32: part.crc32,
      sha256: part.sha256,
      md5: part.md5,
    })),
    upload.checksumMode,
  );
  return {
    presigned_urls: urls,
    expires_at: new Date(expiresAt).toISOString(),
    expires_in_ms: Math.max(1, expiresAt - context.clock.now()),
  };
}

/** Parts that an agent reports as sent, each once; numbers beyond the plan are ignored at no cost. */
export function reportedParts(
  { partCount }: Upload,
  parts: PartUploaded['parts'],
): { readonly partNumber: number; readonly etag: string }[] {
  const etags = new Map<number, string>();
  for (const { part_number: partNumber, etag } of parts) {
    if (partCount !== null && partNumber <= partCount) etags.set(partNumber, etag);
  }
  return Array.from(etags, ([partNumber, etag]) => ({ partNumber, etag }));
}
