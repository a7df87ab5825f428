import { hasEnded, printable, type UploadRecord } from '@backhaul/protocol';
import { readableBytes, readableDuration, readableRate, readableUntil } from '../readable.ts';
import type { RateMeter } from './rate-meter.ts';

/** Describes the current phase or the reason for waiting; undefined while bytes are transferred. */
export function describePhase(record: UploadRecord, now: number): string | undefined {
  const again = record.attempt > 1 ? ` (attempt ${record.attempt})` : '';
  if (record.stalled_reason !== null && !hasEnded(record)) {
    return describeWait(record, record.stalled_reason, now);
  }
  switch (record.status) {
    case 'queued':
      return `queued: waiting for the agent${again}`;
    case 'preparing':
      return `preparing: the agent is opening the file${again}`;
    case 'uploading':
      return record.stalled_since === null ? undefined : 'uploading: waiting for the agent to reconnect';
    case 'completing':
      return (record.cancel_requested_at ?? null) === null
        ? 'completing: the server is verifying the object'
        : 'completing: cancellation pending until the object store reports whether the object is complete';
    case 'completed':
    case 'failed':
    case 'cancelled':
    case 'expired':
      return record.status;
    default:
      // Added by a later version of the server.
      return printable(record.status);
  }
}

/** `waiting, attempt 2, next try in 24 s: The object store cannot be reached.` The reason is last: it may be truncated. */
function describeWait(record: UploadRecord, reason: string, now: number): string {
  const { attempt, next_retry_at: next } = record;
  const words = [(record.cancel_requested_at ?? null) === null ? 'waiting' : 'cancellation pending'];
  if (attempt > 1) words.push(`attempt ${attempt}`);
  if (next !== null) words.push(`next try ${readableUntil(next, now)}`);
  return `${words.join(', ')}: ${printable(reason)}`;
}

/** Bytes stored, plus bytes in flight that the other end of the agent's connection has acknowledged. */
export function bytesDone({ bytes_uploaded, bytes_in_flight = 0 }: UploadRecord): number {
  return bytes_uploaded + bytes_in_flight;
}

/** `40%  8/20 parts  41.9 MB of 104.9 MB  12.3 MB/s  ETA 5.1 s` */
export function describeTransfer(record: UploadRecord, meter: RateMeter, now: number): string {
  const { size, part_count: parts, parts_completed: done } = record;
  const bytes = bytesDone(record);
  const words: string[] = [];
  // Bytes in flight may still be lost: 100% is shown only once all bytes are stored.
  if (size !== null) words.push(record.bytes_uploaded < size && bytes >= size ? '99%' : percent(bytes, size));
  if (parts !== null) words.push(`${done}/${parts} parts`);
  words.push(size === null ? readableBytes(bytes) : `${readableBytes(bytes)} of ${readableBytes(size)}`);
  return [...words, ...describeSpeed(meter, size === null ? null : size - bytes, now)].join('  ');
}

/** Progress of downloading the finished object. */
export interface FetchProgress {
  readonly purpose: 'saving' | 'checking';
  readonly done: number;
  readonly total: number;
}

/** `saving  40%  41.9 MB of 104.9 MB  12.3 MB/s  ETA 5.1 s` */
export function describeFetching(
  { purpose, done, total }: FetchProgress,
  meter: RateMeter,
  now: number,
): string {
  const amount = `${readableBytes(done)} of ${readableBytes(total)}`;
  return [purpose, percent(done, total), amount, ...describeSpeed(meter, total - done, now)].join('  ');
}

export function fraction(part: number, whole: number): number {
  return whole === 0 ? 1 : Math.min(1, part / whole);
}

/** Rounded down: 100% means all. */
function percent(part: number, whole: number): string {
  return `${Math.floor(fraction(part, whole) * 100)}%`;
}

function describeSpeed(meter: RateMeter, restBytes: number | null, now: number): string[] {
  const rate = meter.bytesPerSecond(now);
  if (rate === undefined) return [];
  if (restBytes === null || restBytes <= 0) return [readableRate(rate)];
  return [readableRate(rate), `ETA ${readableDuration((restBytes / rate) * 1000)}`];
}
