import type { UploadStatus } from '@backhaul/protocol';
import { v7 as uuidv7 } from 'uuid';
import type { AuditEvent } from '../../../packages/server/src/domain/ports/store.ts';
import { type Upload, RESET_ATTEMPT } from '../../../packages/server/src/domain/uploads/upload.ts';

const AT = Date.UTC(2025, 10, 1);

/** An upload as a trigger creates it, with fields set by the test. */
export function sampleUpload(fields: Partial<Upload> = {}): Upload {
  const uploadId = fields.uploadId ?? uuidv7();
  return {
    ...RESET_ATTEMPT,
    uploadId,
    clientId: 'client-1',
    filePath: '/data/report.bin',
    fileName: 'report.bin',
    status: 'queued',
    attempt: 1,
    version: 1,
    onChange: 'fail',
    limits: null,
    setbacks: 0,
    restarts: 0,
    refusedCompletions: 0,
    lostAfterMs: null,
    bucket: 'fake-bucket',
    key: `uploads/client-1/${uploadId}/report.bin`,
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
    requestedBy: 'operator-1',
    reason: null,
    idempotencyKey: null,
    batchId: null,
    createdAt: AT,
    updatedAt: AT,
    completedAt: null,
    expiresAt: AT + 86_400_000,
    ...fields,
  };
}

/** An upload in this status, with every field set that it can have by then. */
export function sampleUploadIn(status: UploadStatus): Upload {
  if (status === 'queued') return sampleUpload();
  const prepared = {
    status,
    version: 7,
    epoch: 3,
    objectToken: 'token-1',
    checksumMode: 'crc32',
    startedAt: AT,
  } as const;
  if (status === 'preparing') return sampleUpload(prepared);
  const running = {
    ...prepared,
    sizeBytes: 12_582_912,
    chunkSize: 5_242_880,
    partCount: 3,
    partsCompleted: 2,
    bytesUploaded: 10_485_760,
    partRetries: 1,
    s3UploadId: 's3-upload-1',
    multipartOpen: true,
    multipartCreatedAt: AT,
    hostId: null,
    fingerprint: { device: '1', inode: '2', size: '12582912', mtime_ns: '3', ctime_ns: '4' },
    sourceModifiedAt: AT - 1000,
  } as const;
  if (status === 'uploading') return sampleUpload(running);
  const sent = {
    ...running,
    partsCompleted: 3,
    bytesUploaded: 12_582_912,
    sha256: 'a'.repeat(64),
    uploadDurationMs: 99,
  };
  switch (status) {
    case 'completing':
      return sampleUpload(sent);
    case 'completed':
      return sampleUpload({
        ...sent,
        multipartOpen: false,
        completedAt: AT + 5000,
        etag: '"object-3"',
        crc32: 'AAAAAA==',
        verification: 'full_object',
        serverSideEncryption: 'AES256',
      });
    case 'failed':
    case 'cancelled':
    case 'expired':
      return sampleUpload({
        ...running,
        completedAt: AT + 5000,
        error: status === 'failed' ? 'file_changed' : status === 'cancelled' ? 'cancelled' : 'upload_expired',
        message: 'It ended.',
      });
  }
  return status satisfies never;
}

export function sampleAudit(fields: Partial<AuditEvent> = {}): AuditEvent {
  return {
    at: AT,
    actor: 'operator-1',
    action: 'upload.trigger',
    clientId: 'client-1',
    uploadId: null,
    detail: {},
    ...fields,
  };
}
