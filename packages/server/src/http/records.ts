import {
  type ClientBlock,
  type clientStatusSchema,
  type ClientSummary,
  savedFileName,
  type uploadRecordSchema,
} from '@backhaul/protocol';
import type { z } from 'zod';
import type { Client, ClientBlock as Block } from '../domain/agents/client.ts';
import type { LiveProgress } from '../domain/uploads/live-progress.ts';
import type { Upload } from '../domain/uploads/upload.ts';
import type { Services } from './route.ts';

/** Only values of this version, unlike in the `UploadRecord` of a reader. */
type WrittenRecord = z.infer<typeof uploadRecordSchema>;

/** The only code that converts an upload for the API: snake_case names, ISO times, without S3's own ids. */
export function toUploadRecord(upload: Upload, progress: Pick<LiveProgress, 'bytesInFlight'>): WrittenRecord {
  const bytesInFlight = progress.bytesInFlight(upload);
  return {
    upload_id: upload.uploadId,
    client_id: upload.clientId,
    file_path: upload.filePath,
    // Not the row's: release 0.1.0 stored the agent's name there.
    file_name: savedFileName(upload.filePath),
    status: upload.status,
    attempt: upload.attempt,
    version: upload.version,
    size: upload.sizeBytes,
    chunk_size: upload.chunkSize,
    part_count: upload.partCount,
    parts_completed: upload.partsCompleted,
    bytes_uploaded: upload.bytesUploaded,
    ...(bytesInFlight === undefined ? {} : { bytes_in_flight: bytesInFlight }),
    stalled_since: isoTime(upload.stalledSince),
    stalled_reason: upload.stalledReason,
    next_retry_at: isoTime(upload.nextAttemptAt),
    on_change: upload.onChange,
    limits: upload.limits,
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
    cancel_requested_at: isoTime(upload.cancelRequestedAt),
    requested_by: upload.requestedBy,
    reason: upload.reason,
    created_at: requiredIsoTime(upload.createdAt),
    started_at: isoTime(upload.startedAt),
    completed_at: isoTime(upload.completedAt),
    expires_at: requiredIsoTime(upload.expiresAt),
    upload_duration_ms: upload.uploadDurationMs,
  };
}

/**
 * Like `toUploadRecord`; for uploads waiting for an offline machine it adds since when and until when. No row stores
 * that: nothing is written when machines connect or disconnect.
 */
export async function describeUploads(
  { clients, progress }: Pick<Services, 'clients' | 'progress'>,
  uploads: readonly Upload[],
): Promise<WrittenRecord[]> {
  const disconnectedSince = new Map<string, number | undefined>();
  const records: WrittenRecord[] = [];
  for (const upload of uploads) {
    const { clientId, status, stalledReason, expiresAt } = upload;
    const record = toUploadRecord(upload, progress);
    records.push(record);
    if (status !== 'queued' || stalledReason !== null) continue;
    if (!disconnectedSince.has(clientId))
      disconnectedSince.set(clientId, await clients.disconnectedSince(clientId));
    const since = disconnectedSince.get(clientId);
    if (since === undefined) continue;
    record.stalled_since = requiredIsoTime(Math.max(since, upload.createdAt));
    record.stalled_reason = `The machine is offline since ${minuteOf(since)} (${roughly(Date.now() - since)}). The upload waits for it until ${minuteOf(expiresAt)}.`;
  }
  return records;
}

export async function describeUpload(
  services: Pick<Services, 'clients' | 'progress'>,
  upload: Upload,
): Promise<WrittenRecord> {
  const [record] = await describeUploads(services, [upload]);
  if (record === undefined) throw new Error('no record of an upload');
  return record;
}

export function toClientBlock({ blockedAt, blockedBy, reason }: Block): ClientBlock {
  return { blocked_at: requiredIsoTime(blockedAt), blocked_by: blockedBy, reason };
}

export function toClientSummary(client: Client): ClientSummary {
  return {
    client_id: client.clientId,
    connected: client.connectedSince !== null,
    connected_since: isoTime(client.connectedSince),
    // The socket is monitored; only the end of a session is stored.
    last_seen_at: isoTime(client.connectedSince === null ? client.lastSeenAt : Date.now()),
    remote_address: client.remoteAddress,
    token_expires_at: isoTime(client.tokenExpiresAt),
    agent_version: client.agentVersion,
    platform: client.platform,
    labels: { ...client.labels },
    blocked: client.block === null ? null : toClientBlock(client.block),
    default_file_path: client.defaultFilePath,
    limits: client.limits,
  };
}

export async function describeClient(
  services: Pick<Services, 'clients' | 'progress'>,
  clientId: string,
): Promise<z.infer<typeof clientStatusSchema>> {
  const { client, activeUploads, activeCount, lastUpload, duplicateConnections } =
    await services.clients.status(clientId);
  return {
    ...toClientSummary(client),
    active_uploads: await describeUploads(services, activeUploads),
    active_upload_count: activeCount,
    duplicate_connections: duplicateConnections,
    last_upload: lastUpload === undefined ? null : await describeUpload(services, lastUpload),
  };
}

/** `2026-11-28 10:00 UTC` */
function minuteOf(ms: number): string {
  return `${requiredIsoTime(ms).slice(0, 16).replace('T', ' ')} UTC`;
}

function roughly(ms: number): string {
  const minutes = Math.max(0, Math.round(ms / 60_000));
  const [count, unit] =
    minutes < 60
      ? [minutes, 'minute']
      : minutes < 48 * 60
        ? [Math.round(minutes / 60), 'hour']
        : [Math.round(minutes / 1440), 'day'];
  return `${count} ${unit}${count === 1 ? '' : 's'}`;
}

function isoTime(ms: number | null): string | null {
  return ms === null ? null : requiredIsoTime(ms);
}

function requiredIsoTime(ms: number): string {
  return new Date(ms).toISOString();
}
