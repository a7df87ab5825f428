import type { UploadRecord } from '@backhaul/protocol';

export interface Outcome {
  readonly record: UploadRecord;
  readonly sourceSha256: string;
  readonly resultSha256: string;
  readonly resultPath: string;
  /** Seconds from the operator's command to the finished copy. */
  readonly seconds: number;
  readonly serverBytes: number;
  readonly parallelPuts: number;
  readonly keep: boolean;
}

/** Summarizes the outcome in a few lines. */
export function describeOutcome(outcome: Outcome): string {
  const { record, serverBytes } = outcome;
  const size = record.size ?? 0;
  const seconds = Math.max(record.upload_duration_ms ?? 1, 1) / 1000;
  const share = size === 0 ? '' : ` (${((100 * serverBytes) / size).toFixed(2)} % of the file)`;
  return [
    '',
    `pulled      ${record.file_name}, ${megabytes(size)}, in ${record.part_count} parts, up to ${outcome.parallelPuts} at once`,
    `upload      ${seconds.toFixed(2)} s, ${Math.round(size / 1e6 / seconds)} MB/s; with the copy back ${outcome.seconds.toFixed(2)} s`,
    `object      s3://${record.bucket}/${record.key}`,
    `verified    ${record.verification}: ${record.checksum?.algorithm} ${record.checksum?.value}`,
    `SHA-256     source ${outcome.sourceSha256}`,
    `            result ${outcome.resultSha256}  the same`,
    `result      ${outcome.resultPath}${outcome.keep ? '' : ' (removed again; --keep leaves it)'}`,
    `server      ${megabytes(serverBytes)} crossed its own sockets${share}; the file itself went from agent to store`,
    '',
  ].join('\n');
}

export function describeNext(
  keep: { url: string; token: string; clientId: string; file: string } | undefined,
): string {
  if (keep === undefined) {
    return [
      'Next: npm run demo -- --keep, to play with a running system; or set up your own, see README.md.',
      '',
    ].join('\n');
  }
  return [
    `Running at ${keep.url} (API page: ${keep.url}/docs). In another terminal, in this directory:`,
    `  export BACKHAUL_URL=${keep.url}`,
    `  export BACKHAUL_TOKEN=${keep.token}`,
    `  npx backhaul download --client-id ${keep.clientId} --output copy.bin`,
    `  npx backhaul status ${keep.clientId}`,
    '  npx backhaul uploads',
    '  npx backhaul events --follow',
    '  npx backhaul doctor',
    `  curl -H "Authorization: Bearer $BACKHAUL_TOKEN" -X POST ${keep.url}/trigger-download/${keep.clientId}`,
    'Ctrl-C here ends everything and removes it.',
    '',
  ].join('\n');
}

function megabytes(bytes: number): string {
  if (bytes < 1e5) return `${(bytes / 1e3).toFixed(1)} kB`;
  return `${(bytes / 1e6).toFixed(1)} MB`;
}
