import { type AgentMessage, fileNameOf } from '@backhaul/protocol';
import type { OpenedFile } from './opened-file.ts';
import type { TransferParts } from './transfer-parts.ts';

type Message<Status extends AgentMessage['status']> = Extract<AgentMessage, { status: Status }>;

interface Transfer {
  readonly uploadId: string;
  readonly attempt: number;
  readonly file: OpenedFile;
  readonly parts: TransferParts;
}

export function preparedMessage(
  { uploadId, attempt, file, parts }: Transfer,
  window: number,
): Message<'prepared'> {
  const { sizeBytes, chunkSize, partCount } = parts.plan;
  return {
    status: 'prepared',
    upload_id: uploadId,
    attempt,
    file_name: fileNameOf(file.path),
    size: sizeBytes,
    chunk_size: chunkSize,
    part_count: partCount,
    fingerprint: file.fingerprint,
    source_modified_at: new Date(file.version.mtime).toISOString(),
    parts: parts.firstWindow(window),
  };
}

export function resumedMessage({ uploadId, attempt, file, parts }: Transfer): Message<'resumed'> {
  return {
    status: 'resumed',
    upload_id: uploadId,
    attempt,
    size: parts.plan.sizeBytes,
    fingerprint: file.fingerprint,
  };
}

export function completedMessage(
  { uploadId, attempt, file, parts }: Transfer,
  { isResumed }: { isResumed: boolean },
): Message<'completed'> {
  return {
    status: 'completed',
    upload_id: uploadId,
    attempt,
    file_name: fileNameOf(file.path),
    size: parts.plan.sizeBytes,
    parts: parts.uploaded,
    ...(isResumed ? { resumed: true } : {}),
    upload_duration_ms: 1000,
    sha256: null,
  };
}
