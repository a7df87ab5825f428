import { BackhaulError, type Prepared, planParts } from '@backhaul/protocol';
import { BucketError } from '../ports/bucket.ts';
import type { AgentSession } from '../sessions/agent-session.ts';
import type { TransferContext } from '../transfer-context.ts';
import { planRule } from '../upload-settings.ts';
import { storeAway } from '../uploads/attempt-failure.ts';
import type { Upload } from '../uploads/upload.ts';
import { checkAnnouncement, putOnRecord } from './announcement.ts';
import { requestedNameProblem } from './requested-name.ts';
import { withOwnedUpload } from './owned-upload.ts';
import { signWindow } from './sign-window.ts';

/**
 * The queue asks the store itself before it hands the upload over again. One that answers, but takes no upload, is
 * asked ever more rarely: each time an agent reads and hashes in vain.
 */
const STORE_AWAY_WAIT_MS = 1000;

/** Of an empty file, of which no part is sent. Nothing in it expires. */
const NO_URLS = { presigned_urls: [], expires_at: '9999-12-31T23:59:59.999Z', expires_in_ms: 86_400_000 };

/**
 * The agent has opened and measured the file. Creates the multipart upload and answers with the URLs of the
 * first window; a repeated message gets the same URLs signed anew.
 */
export function prepared(context: TransferContext, session: AgentSession, message: Prepared): Promise<void> {
  return withOwnedUpload(context, session, message, async (upload) => {
    try {
      const begun = await begin(context, upload, { message, leavesEmpty: session.leavesEmpty });
      if (begun !== undefined) await sendWindow(context, session, begun, message);
    } catch (error) {
      const code =
        error instanceof BackhaulError
          ? error.code
          : error instanceof BucketError
            ? error.kind === 'unavailable'
              ? 'storage_unavailable'
              : 'storage_refused'
            : undefined;
      if (code === undefined) throw error;
      const current = await context.ledger.get(upload.uploadId);
      const text = error instanceof Error ? error.message : '';
      if (code === 'storage_unavailable' && current.status === 'preparing') {
        // Nothing has begun at the store, so the queue is the place to wait until it is back.
        await context.recovery.interrupt(current, {
          reason: storeAway({ message: text }),
          ...(current.setbacks === 0 ? { waitMs: STORE_AWAY_WAIT_MS } : {}),
        });
        return;
      }
      await context.recovery.settle(current, { error: code, message: text });
    }
  });
}

/** @returns the upload in `uploading`; undefined when the message no longer fits its status. */
async function begin(
  context: TransferContext,
  upload: Upload,
  { message, leavesEmpty }: { message: Prepared; leavesEmpty: boolean },
): Promise<Upload | undefined> {
  if (upload.status === 'uploading') {
    if (isSameFile(upload, message)) return beginAgain(context, upload, message);
    throw new BackhaulError(
      'file_changed',
      'The agent prepared this attempt twice, of two versions of the file.',
    );
  }
  if (upload.status !== 'preparing' || upload.objectToken === null || upload.checksumMode === null) {
    return undefined;
  }
  if (upload.s3UploadId !== null) {
    throw new BackhaulError(
      'protocol_error',
      'The agent was asked to resume an upload, and prepared it anew.',
    );
  }
  const problem = requestedNameProblem(upload, message.file_name);
  if (problem !== undefined) throw new BackhaulError('protocol_error', problem);
  const { maxFileSize } = context.settings;
  if (maxFileSize !== null && message.size > maxFileSize) {
    throw new BackhaulError(
      'file_too_large',
      `The file has ${message.size} bytes; this server takes ${maxFileSize} (MAX_FILE_SIZE).`,
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
  // An agent of before sends its empty part; the object is written by the server all the same.
  const isLeft = plan.sizeBytes === 0 && leavesEmpty;
  const { s3UploadId } = isLeft
    ? { s3UploadId: null }
    : await context.bucket.createMultipartUpload({
        key: upload.key,
        token: upload.objectToken,
        checksumMode: upload.checksumMode,
      });
  let begun: Upload | undefined;
  try {
    begun = await context.ledger.apply(
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
      isLeft ? {} : { announced },
    );
    return begun;
  } finally {
    // While the database is away the message is handled again and again, each time with another multipart upload.
    if (begun === undefined && s3UploadId !== null) await abandon(context, upload, s3UploadId);
  }
}

/** The same message once more: nothing is created, but what is signed for has to be of the plan and on record. */
async function beginAgain(context: TransferContext, upload: Upload, message: Prepared): Promise<Upload> {
  if (upload.checksumMode === null) throw new Error('an upload is under way without a checksum mode');
  const plan = planParts(message.size, planRule);
  const announced = checkAnnouncement(plan, upload.checksumMode, message.parts);
  if (upload.s3UploadId !== null) await putOnRecord(context, upload, announced);
  return upload;
}

/** Of no row. That belongs to whoever won it, or could not be written, so a failure here must not end the upload. */
async function abandon(
  context: TransferContext,
  { key, uploadId }: Upload,
  s3UploadId: string,
): Promise<void> {
  try {
    await context.bucket.abortMultipartUpload({ key, s3UploadId });
  } catch (error) {
    // The sweep for orphans finds it.
    context.log.warn({ uploadId, err: error }, 'abort of a multipart upload that is on no record failed');
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
  const isLeft = upload.s3UploadId === null;
  const window = isLeft ? NO_URLS : await signWindow(context, upload, message.parts);
  if (upload.chunkSize === null || upload.partCount === null) return;
  session.send({
    action: 'download_file',
    file_path: upload.filePath,
    upload_config: {
      kind: isLeft ? 'empty' : 'multipart',
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
