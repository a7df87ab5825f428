import type { UploadRecord } from '@backhaul/protocol';
import type { Upload } from '../domain/uploads/upload.ts';

/** The one place where an upload crosses to the API: snake_case names, ISO times, nothing of S3's own ids. */
export function toUploadRecord(upload: Upload): UploadRecord {
  return {
    upload_id: upload.uploadId,
    client_id: upload.clientId,
    file_path: upload.filePath,
    file_name: upload.fileName,
    status: upload.status,
    attempt: upload.attempt,
    version: upload.version,
    size: upload.sizeBytes,
    chunk_size: upload.chunkSize,
    part_count: upload.partCount,
    parts_completed: upload.partsCompleted,
    bytes_uploaded: upload.bytesUploaded,
    stalled_since: isoTime(upload.stalledSince),
    stalled_reason: upload.stalledReason,
    next_retry_at: isoTime(upload.nextAttemptAt),
    on_change: upload.onChange,
    bucket: upload.bucket,
    key: upload.key,
    etag: upload.etag,
    version_id: upload.versionId,
    checksum: upload.crc32 === null ? null : { algorithm: 'crc32', type: 'full_object', value: upload.crc32 },
    checksum_mode: upload.checksumMode,
    verification: upload.verification,
    sha256: upload.sha256,
    server_side_encryption: upload.serverSideEncryption,
    storage_class: upload.storageClass,
    source_modified_at: isoTime(upload.sourceModifiedAt),
    error: upload.error,
    message: upload.message,
    requested_by: upload.requestedBy,
    reason: upload.reason,
    created_at: requiredIsoTime(upload.createdAt),
    started_at: isoTime(upload.startedAt),
    completed_at: isoTime(upload.completedAt),
    expires_at: requiredIsoTime(upload.expiresAt),
    upload_duration_ms: upload.uploadDurationMs,
  };
}

export function isoTime(ms: number | null): string | null {
  return ms === null ? null : requiredIsoTime(ms);
}

function requiredIsoTime(ms: number): string {
  return new Date(ms).toISOString();
}
