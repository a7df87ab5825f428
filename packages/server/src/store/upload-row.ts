import { fingerprintSchema, uploadLimitsSchema } from '@backhaul/protocol';
import type { Upload } from '../domain/uploads/upload.ts';
import type { UploadsTable } from './schema.ts';

/** All columns except the number of the last change, which is not part of an upload. */
export const uploadColumns = Object.keys({
  uploadId: true,
  clientId: true,
  filePath: true,
  fileName: true,
  status: true,
  attempt: true,
  version: true,
  epoch: true,
  onChange: true,
  limits: true,
  setbacks: true,
  restarts: true,
  refusedCompletions: true,
  nextAttemptAt: true,
  hostId: true,
  sizeBytes: true,
  chunkSize: true,
  partCount: true,
  partsCompleted: true,
  bytesUploaded: true,
  partRetries: true,
  stalledSince: true,
  stalledReason: true,
  bucket: true,
  key: true,
  s3UploadId: true,
  multipartOpen: true,
  multipartCreatedAt: true,
  lostAfterMs: true,
  objectToken: true,
  checksumMode: true,
  fingerprint: true,
  sourceModifiedAt: true,
  etag: true,
  versionId: true,
  crc32: true,
  verification: true,
  sha256: true,
  serverSideEncryption: true,
  storageClass: true,
  error: true,
  message: true,
  cancelRequestedBy: true,
  cancelRequestedAt: true,
  requestedBy: true,
  reason: true,
  idempotencyKey: true,
  batchId: true,
  createdAt: true,
  updatedAt: true,
  startedAt: true,
  completedAt: true,
  expiresAt: true,
  uploadDurationMs: true,
} satisfies Record<keyof UploadsTable, true>) as (keyof UploadsTable)[];

/** @throws ZodError when a JSON column has unexpected content. */
export function fromUploadRow(row: UploadsTable): Upload {
  return {
    ...row,
    multipartOpen: row.multipartOpen === 1,
    fingerprint: row.fingerprint === null ? null : fingerprintSchema.parse(JSON.parse(row.fingerprint)),
    limits: row.limits === null ? null : uploadLimitsSchema.parse(JSON.parse(row.limits)),
  };
}

export function toUploadRow(upload: Upload): UploadsTable {
  return {
    ...upload,
    multipartOpen: upload.multipartOpen ? 1 : 0,
    fingerprint: upload.fingerprint === null ? null : JSON.stringify(upload.fingerprint),
    limits: upload.limits === null ? null : JSON.stringify(upload.limits),
  };
}
