import {
  BackhaulError,
  EMPTY_OBJECT_CAPABILITY,
  type ErrorCode,
  isNameOf,
  planParts,
  type Prepared,
  type Resumed,
  resumeDifferences,
} from '@backhaul/protocol';
import { BucketError } from '../../ports/bucket.ts';
import { planRule } from '../../upload-settings.ts';
import { waitingForStore } from '../../uploads/bucket-outage.ts';
import { isRunning, type Upload } from '../../uploads/upload.ts';
import type { AgentSession } from '../session.ts';
import { type TransferContext, withOwnedUpload } from './context.ts';
import { checkAnnouncement, recordParts, signWindow } from './parts.ts';

/**
 * Before it dispatches the upload again, the queue checks the store itself. A store that responds but accepts no
 * upload is tried less and less often: each time an agent reads and hashes in vain.
 */
const STORE_UNAVAILABLE_WAIT_MS = 1000;

/** Response for an empty file, of which no part is sent. Nothing in it expires. */
const NO_URLS = { presigned_urls: [], expires_at: '9999-12-31T23:59:59.999Z', expires_in_ms: 86_400_000 };

/**
 * The agent has opened and measured the file. Creates the multipart upload and responds with the URLs of the first
 * window; a repeated message gets the same URLs with new signatures.
 */
export function prepared(context: TransferContext, session: AgentSession, message: Prepared): Promise<void> {
  return withOwnedUpload(context, session, message, async (upload) => {
    let current = upload;
    try {
      const started = await start(context, upload, {
        message,
        leavesEmpty: session.capabilities.has(EMPTY_OBJECT_CAPABILITY),
      });
      if (started === undefined) return;
      current = started;
      await sendWindow(context, session, started, message);
    } catch (error) {
      const code = codeOf(error);
      if (code === undefined) throw error;
      const text = error instanceof Error ? error.message : '';
      if (code === 'storage_unavailable' && current.status === 'preparing') {
        // Nothing has started at the store, so the upload waits in the queue until the store is back.
        await context.recovery.interrupt(current, {
          reason: waitingForStore({ message: text }),
          ...(current.setbacks === 0 ? { waitMs: STORE_UNAVAILABLE_WAIT_MS } : {}),
        });
        return;
      }
      await context.recovery.handleFailure(current, { error: code, message: text });
    }
  });
}

function codeOf(error: unknown): ErrorCode | undefined {
  if (error instanceof BackhaulError) return error.code;
  if (!(error instanceof BucketError)) return undefined;
  return error.kind === 'unavailable' ? 'storage_unavailable' : 'storage_refused';
}

/** @returns the upload in `uploading`; undefined when the message no longer fits its status. */
async function start(
  context: TransferContext,
  upload: Upload,
  { message, leavesEmpty }: { message: Prepared; leavesEmpty: boolean },
): Promise<Upload | undefined> {
  if (upload.status === 'uploading') {
    if (isSameFile(upload, message)) return repeatPrepared(context, upload, message);
    throw new BackhaulError(
      'file_changed',
      'The agent prepared this attempt twice with different versions of the file.',
    );
  }
  if (upload.status !== 'preparing' || upload.objectToken === null || upload.checksumMode === null) {
    return undefined;
  }
  if (upload.s3UploadId !== null) {
    throw new BackhaulError(
      'protocol_error',
      'The agent was asked to resume the upload but prepared it again.',
    );
  }
  const problem = requestedNameProblem(upload, message.file_name);
  if (problem !== undefined) throw new BackhaulError('protocol_error', problem);
  const { maxFileSize } = context.settings;
  if (maxFileSize !== null && message.size > maxFileSize) {
    throw new BackhaulError(
      'file_too_large',
      `The file has ${message.size} bytes; this server accepts at most ${maxFileSize} (MAX_FILE_SIZE).`,
    );
  }
  const plan = planParts(message.size, planRule);
  if (plan.chunkSize !== message.chunk_size || plan.partCount !== message.part_count) {
    throw new BackhaulError(
      'plan_mismatch',
      `For ${message.size} bytes the server plans ${plan.partCount} parts of ${plan.chunkSize}, the agent ${message.part_count} of ${message.chunk_size}.`,
    );
  }
  const announced = checkAnnouncement(plan, upload.checksumMode, message.parts);
  // Old agents send the empty part; newer ones leave the whole object to the server.
  const isServerWritten = plan.sizeBytes === 0 && leavesEmpty;
  const { s3UploadId } = isServerWritten
    ? { s3UploadId: null }
    : await context.bucket.createMultipartUpload({
        key: upload.key,
        token: upload.objectToken,
        checksumMode: upload.checksumMode,
      });
  let started: Upload | undefined;
  try {
    started = await context.ledger.apply(
      upload,
      {
        type: 'prepared',
        sizeBytes: plan.sizeBytes,
        chunkSize: plan.chunkSize,
        partCount: plan.partCount,
        fingerprint: message.fingerprint,
        sourceModifiedAt: Date.parse(message.source_modified_at),
        s3UploadId,
      },
      isServerWritten ? {} : { announced },
    );
    return started;
  } finally {
    // While the database is unreachable the message is handled repeatedly, each time with another multipart upload.
    if (started === undefined && s3UploadId !== null) await abortUnrecorded(context, upload, s3UploadId);
  }
}

/** A repeated message: nothing is created, but the parts to sign must match the plan and be recorded. */
async function repeatPrepared(context: TransferContext, upload: Upload, message: Prepared): Promise<Upload> {
  if (upload.checksumMode === null) throw new Error('an upload is running without a checksum mode');
  const plan = planParts(message.size, planRule);
  const announced = checkAnnouncement(plan, upload.checksumMode, message.parts);
  if (upload.s3UploadId !== null) await recordParts(context, upload, announced);
  return upload;
}

/**
 * Aborts a multipart upload without a record. The record belongs to the winner of a race or could not be written, so
 * a failure here must not end the upload.
 */
async function abortUnrecorded(
  context: TransferContext,
  { key, uploadId }: Upload,
  s3UploadId: string,
): Promise<void> {
  try {
    await context.bucket.abortMultipartUpload({ key, s3UploadId });
  } catch (error) {
    // The sweep for orphans finds it.
    context.log.warn({ uploadId, err: error }, 'failed to abort a multipart upload without a record');
  }
}

function isSameFile(upload: Upload, message: Prepared): boolean {
  return (
    upload.sizeBytes === message.size &&
    JSON.stringify(upload.fingerprint) === JSON.stringify(message.fingerprint)
  );
}

async function sendWindow(
  context: TransferContext,
  session: AgentSession,
  upload: Upload,
  message: Prepared,
): Promise<void> {
  const isServerWritten = upload.s3UploadId === null;
  const window = isServerWritten ? NO_URLS : await signWindow(context, upload, message.parts);
  if (upload.chunkSize === null || upload.partCount === null) return;
  session.send({
    action: 'download_file',
    file_path: upload.filePath,
    upload_config: {
      kind: isServerWritten ? 'empty' : 'multipart',
      upload_id: upload.uploadId,
      attempt: upload.attempt,
      bucket: upload.bucket,
      key: upload.key,
      chunk_size: upload.chunkSize,
      part_count: upload.partCount,
      ...window,
    },
  });
}

/** A new agent process continues an earlier attempt; it requests URLs as it finds missing parts. */
export function resumed(context: TransferContext, session: AgentSession, message: Resumed): Promise<void> {
  return withOwnedUpload(context, session, message, async (upload) => {
    if (!isRunning(upload)) return;
    if (upload.s3UploadId === null) {
      await context.recovery.handleFailure(upload, {
        error: 'protocol_error',
        message: 'The agent was asked to prepare the upload but resumed it.',
      });
      return;
    }
    if (!isSameVersion(upload, message)) {
      await context.recovery.handleFailure(upload, {
        error: 'file_changed',
        message: `${JSON.stringify(upload.filePath)} changed while the upload was interrupted.`,
      });
      return;
    }
    await context.ledger.apply(upload, { type: 'resumed' });
  });
}

function isSameVersion({ sizeBytes, fingerprint, onChange }: Upload, message: Resumed): boolean {
  return (
    message.size === sizeBytes &&
    fingerprint !== null &&
    resumeDifferences(fingerprint, message.fingerprint, onChange).length === 0
  );
}

/**
 * Describes the mismatch if an agent's file name differs from the requested one. Names come from the request; the
 * agent's name only shows whether it opened that file.
 */
export function requestedNameProblem({ filePath }: Upload, fileName: string): string | undefined {
  if (isNameOf(fileName, filePath)) return undefined;
  return `The agent was asked for ${JSON.stringify(filePath)} but sent a file named ${JSON.stringify(fileName.slice(0, 255))}.`;
}
