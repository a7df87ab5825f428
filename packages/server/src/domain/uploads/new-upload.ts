import type { ChangePolicy } from '@backhaul/protocol';
import { v7 as uuidv7 } from 'uuid';
import type { UploadSettings } from '../upload-settings.ts';
import { fileNameOf, uploadKey } from './upload-key.ts';
import { type Upload, untried } from './upload.ts';

export interface UploadRequest {
  readonly clientId: string;
  readonly filePath: string;
  readonly reason?: string | undefined;
  readonly requestedBy: string;
  readonly idempotencyKey?: string | undefined;
  /** Default: `fail`. */
  readonly onChange?: ChangePolicy | undefined;
  /** From now, in ms. Default: {@link UploadSettings.lifetimeMs}. */
  readonly expiresInMs?: number | undefined;
}

/** A pull as it is accepted: queued, nothing of the file known but its path. */
export function newUpload(request: UploadRequest, settings: UploadSettings, now: number): Upload {
  const { clientId, filePath, requestedBy } = request;
  const uploadId = uuidv7();
  const fileName = fileNameOf(filePath);
  return {
    ...untried,
    uploadId,
    clientId,
    filePath,
    fileName,
    status: 'queued',
    attempt: 1,
    version: 1,
    onChange: request.onChange ?? 'fail',
    setbacks: 0,
    restarts: 0,
    refusedCompletions: 0,
    bucket: settings.bucketName,
    key: uploadKey({ prefix: settings.keyPrefix, clientId, uploadId, fileName }),
    etag: null,
    versionId: null,
    crc32: null,
    verification: null,
    serverSideEncryption: null,
    storageClass: null,
    error: null,
    message: null,
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
