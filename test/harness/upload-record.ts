import { type UploadRecord, uploadRecordSchema } from '@backhaul/protocol';

export const UPLOAD_ID = '019ab3c2-5f00-7000-8000-000000000001';

/** A record as the server sends it; by default a running upload. */
export function uploadRecord(fields: Partial<UploadRecord> = {}): UploadRecord {
  return uploadRecordSchema.parse({
    upload_id: UPLOAD_ID,
    client_id: 'restaurant-1',
    file_path: '/data/report.bin',
    file_name: 'report.bin',
    status: 'uploading',
    attempt: 1,
    version: 1,
    size: 104_857_600,
    chunk_size: 5_242_880,
    part_count: 20,
    parts_completed: 8,
    bytes_uploaded: 41_943_040,
    stalled_since: null,
    bucket: 'my-app-uploads',
    key: `uploads/restaurant-1/${UPLOAD_ID}/report.bin`,
    etag: null,
    version_id: null,
    checksum: null,
    checksum_mode: null,
    verification: null,
    sha256: null,
    server_side_encryption: null,
    storage_class: null,
    source_modified_at: null,
    error: null,
    message: null,
    requested_by: 'ops',
    reason: null,
    created_at: '2025-11-01T10:29:58.000Z',
    started_at: '2025-11-01T10:30:00.000Z',
    completed_at: null,
    expires_at: '2025-11-02T10:29:58.000Z',
    upload_duration_ms: null,
    ...fields,
  });
}
