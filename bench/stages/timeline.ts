import type { UploadRecord } from '@backhaul/protocol';
import type { AccessLogEntry } from '../../test/harness/access-log.ts';

/** Start and end of a command in milliseconds since 1970. */
export interface CommandTimes {
  readonly startedAtMs: number;
  readonly endedAtMs: number;
}

/** Time between two consecutive moments. */
export interface StageTime {
  readonly stage: string;
  readonly ms: number;
}

/**
 * Splits a pull into consecutive stages that together cover the whole command.
 *
 * @param requests The store's requests for this object.
 * @throws Error if a required request is missing.
 */
export function timeline(
  { startedAtMs, endedAtMs }: CommandTimes,
  record: UploadRecord,
  requests: readonly AccessLogEntry[],
): StageTime[] {
  const create = only(requests, 'CreateMultipartUpload');
  const puts = requests.filter(({ operation }) => operation === 'UploadPart');
  if (puts.length === 0) throw new Error('no part was sent');
  const complete = only(requests, 'CompleteMultipartUpload');
  const gets = requests.filter(({ operation }) => operation === 'GetObject');
  if (gets.length === 0) throw new Error('no content was fetched');
  const moments: (readonly [endsStage: string, atMs: number])[] = [
    ['command started, trigger recorded', Date.parse(record.created_at)],
    ['file opened, multipart upload asked for', create.started_at_ms],
    ['multipart upload created', create.ended_at_ms],
    ['first part on its way', Math.min(...puts.map((put) => put.started_at_ms))],
    ['parts sent', Math.max(...puts.map((put) => put.ended_at_ms))],
    ['completion asked for', complete.started_at_ms],
    ['upload completed by the store', complete.ended_at_ms],
    ['object checked, upload recorded as completed', Date.parse(record.completed_at ?? '')],
    ['content asked for', Math.min(...gets.map((get) => get.started_at_ms))],
    ['content fetched', Math.max(...gets.map((get) => get.ended_at_ms))],
    ['copy verified, command ended', endedAtMs],
  ];
  let beforeMs = startedAtMs;
  return moments.map(([stage, atMs]) => {
    const ms = atMs - beforeMs;
    if (!Number.isFinite(ms)) throw new Error(`"${stage}" has no time`);
    beforeMs = atMs;
    return { stage, ms };
  });
}

function only(requests: readonly AccessLogEntry[], operation: string): AccessLogEntry {
  const [found, ...others] = requests.filter((entry) => entry.operation === operation);
  if (found === undefined || others.length > 0) throw new Error(`not one ${operation} was logged`);
  return found;
}
