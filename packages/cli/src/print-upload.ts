import type { UploadRecord } from '@backhaul/protocol';
import type { Context } from './command.ts';
import { type Output, renderFields, renderTable } from './output.ts';
import { describeLimits, readableAge, readableBytes, readableDuration, readableUntil } from './readable.ts';

/** Prints one record: unchanged as JSON, otherwise its most useful fields. */
export function printUpload({ output, now }: Context, record: UploadRecord): void {
  if (output.json) {
    output.value(record);
    return;
  }
  const known = fieldsOf(record, now()).filter((field): field is [string, string] => field[1] !== null);
  output.lines(renderFields(known));
}

function fieldsOf(record: UploadRecord, now: number): [string, string | null][] {
  const { size, sha256, checksum, upload_duration_ms: ms } = record;
  return [
    ['upload', record.upload_id],
    ['client', record.client_id],
    ['file', record.file_path],
    ['status', record.status],
    ['error', record.error],
    ['message', record.message],
    ['attempt', String(record.attempt)],
    ['size', size === null ? null : `${readableBytes(size)} (${size} bytes)`],
    ['uploaded', readableBytes(record.bytes_uploaded)],
    ['in flight', record.bytes_in_flight ? readableBytes(record.bytes_in_flight) : null],
    ['parts', record.part_count === null ? null : `${record.parts_completed} of ${record.part_count}`],
    ['stalled', describeStall(record, now)],
    ['next try', record.next_retry_at === null ? null : readableUntil(record.next_retry_at, now)],
    ['object', record.status === 'completed' ? `s3://${record.bucket}/${record.key}` : null],
    ['verification', record.verification],
    ['sha256', sha256],
    [checksum?.algorithm ?? 'crc32', checksum === null ? null : checksum.value],
    ['encryption', record.server_side_encryption],
    ['storage class', record.storage_class],
    ['on change', record.on_change],
    ['limits', describeLimits(record.limits)],
    ['requested by', record.requested_by],
    ['reason', record.reason],
    ['created', `${record.created_at} (${readableAge(record.created_at, now)})`],
    ['expires', record.completed_at === null ? describeDeadline(record, now) : null],
    ['ended', record.completed_at],
    ['transfer took', ms === null ? null : readableDuration(ms)],
  ];
}

function describeStall(
  { stalled_since: since, stalled_reason: reason }: UploadRecord,
  now: number,
): string | null {
  if (since === null) return null;
  const age = `since ${readableAge(since, now)}`;
  return reason === null ? age : `${age}: ${reason}`;
}

function describeDeadline({ expires_at: at }: UploadRecord, now: number): string {
  return `${at} (${readableUntil(at, now)})`;
}

export function uploadTable(uploads: readonly UploadRecord[], { output, now }: Context): string[] {
  return renderTable(uploads, [
    { title: 'UPLOAD', value: (record) => record.upload_id },
    { title: 'CLIENT', value: (record) => record.client_id },
    {
      title: 'STATUS',
      value: (record) => record.status,
      paint: (text, record) => paintStatus(output, record.status, text),
    },
    { title: 'DONE', align: 'right', value: describeDone },
    { title: 'SIZE', align: 'right', value: ({ size }) => (size === null ? '–' : readableBytes(size)) },
    { title: 'CREATED', align: 'right', value: (record) => readableAge(record.created_at, now()) },
    { title: 'FILE', value: describeFile },
  ]);
}

const statusStyles: ReadonlyMap<string, 'green' | 'red' | 'yellow' | 'cyan'> = new Map([
  ['queued', 'cyan'],
  ['preparing', 'cyan'],
  ['uploading', 'cyan'],
  ['completing', 'cyan'],
  ['completed', 'green'],
  ['failed', 'red'],
  ['expired', 'red'],
  ['cancelled', 'yellow'],
  // Events of `backhaul events` that are no statuses.
  ['started', 'cyan'],
  ['stalled', 'yellow'],
  ['cancelling', 'yellow'],
]);

/** @param status A status or event; one that this version does not know has no colour. */
export function paintStatus(output: Output, status: string, text: string): string {
  const style = statusStyles.get(status);
  return style === undefined ? text : output.paint(style, text);
}

function describeDone({ status, size, bytes_uploaded: bytes }: UploadRecord): string {
  if (size === null || size === 0) return status === 'completed' ? '100%' : '–';
  return `${Math.floor((bytes / size) * 100)}%`;
}

function describeFile({ file_path, error }: UploadRecord): string {
  return error === null ? file_path : `${file_path} (${error})`;
}
