import { type ChangePolicy, fileNameOf, savedFileName, type UploadLimits } from '@backhaul/protocol';
import { v7 as uuidv7 } from 'uuid';
import type { UploadSettings } from '../upload-settings.ts';
import { uploadKey } from './upload-key.ts';
import { type Upload, RESET_ATTEMPT } from './upload.ts';

export interface UploadRequest {
  readonly clientId: string;
  readonly filePath: string;
  readonly reason?: string | undefined;
  readonly requestedBy: string;
  readonly idempotencyKey?: string | undefined;
  /** Default: `fail`. */
  readonly onChange?: ChangePolicy | undefined;
  /** Default: the limits of the client and of the server. */
  readonly limits?: UploadLimits | undefined;
  /** From now, in ms. Default: {@link UploadSettings.lifetimeMs}. */
  readonly expiresInMs?: number | undefined;
}

/** A newly accepted upload: queued, with nothing known of the file but its path. */
export function newUpload(request: UploadRequest, settings: UploadSettings, now: number): Upload {
  const { clientId, filePath, requestedBy } = request;
  const uploadId = uuidv7();
  return {
    ...RESET_ATTEMPT,
    uploadId,
    clientId,
    filePath,
    fileName: savedFileName(filePath),
    status: 'queued',
    attempt: 1,
    version: 1,
    onChange: request.onChange ?? 'fail',
    limits: orderedLimits(request.limits),
    setbacks: 0,
    restarts: 0,
    refusedCompletions: 0,
    lostAfterMs: null,
    bucket: settings.bucketName,
    key: uploadKey({ prefix: settings.keyPrefix, clientId, uploadId, fileName: fileNameOf(filePath) }),
    etag: null,
    versionId: null,
    crc32: null,
    verification: null,
    serverSideEncryption: null,
    storageClass: null,
    error: null,
    message: null,
    cancelRequestedBy: null,
    cancelRequestedAt: null,
    requestedBy,
    reason: request.reason ?? null,
    idempotencyKey: request.idempotencyKey ?? null,
    batchId: null,
    createdAt: now,
    updatedAt: now,
    completedAt: null,
    expiresAt: now + (request.expiresInMs ?? settings.lifetimeMs),
  };
}

/** Equal limits have equal JSON; no limits become null. */
export function orderedLimits(limits: UploadLimits | null | undefined): UploadLimits | null {
  const { parallel_parts: parallelParts, max_rate: maxRate } = limits ?? {};
  if (parallelParts === undefined && maxRate === undefined) return null;
  return {
    ...(parallelParts === undefined ? {} : { parallel_parts: parallelParts }),
    ...(maxRate === undefined ? {} : { max_rate: maxRate }),
  };
}
