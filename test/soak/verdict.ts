import type { UploadRecord } from '@backhaul/protocol';
import { sha256OfKeyStream } from '../harness/key-stream.ts';
import type { Pull } from './pull.ts';
import type { FileVersion, SoakFile } from './soak-file.ts';

/** A harmless touch makes an agent re-read a file; above this number in one pull it may fail. */
const TOUCHES_TO_BEAR = 3;

/**
 * Checks whether the end of an upload is legitimate, given its faults and requests.
 *
 * @param record Terminal.
 * @param isDenied Whether one of its calls was permanently denied.
 * @returns the problem; undefined if there is none.
 */
export async function judge(
  pull: Pull,
  record: UploadRecord,
  { isDenied }: { isDenied: boolean },
): Promise<string | undefined> {
  if (record.status === 'completed') return await judgeCompleted(pull, record);
  if (record.status === 'cancelled') return pull.cancelAsked ? undefined : 'nobody cancelled it';
  if (record.status === 'failed' && mayFail(pull, record, isDenied)) return undefined;
  return `nothing that was done to it explains that it ${record.status}: ${record.error}, ${record.message}`;
}

function mayFail({ wanted, policy, askedAt }: Pull, record: UploadRecord, isDenied: boolean): boolean {
  if (record.error === 'storage_refused') return isDenied;
  if (wanted.kind !== 'file') return record.error === wanted.kind;
  if (record.error !== 'file_changed') return false;
  const until = endOf(record);
  const during = wanted.file.changes.filter(
    (change) => change.endedAt >= askedAt && change.startedAt <= until,
  );
  const touches = during.filter(({ kind }) => kind === 'chmod');
  const changes = during.filter(
    ({ kind }) => kind !== 'chmod' && !(policy === 'prefix' && kind === 'append'),
  );
  return changes.length > 0 || touches.length > TOUCHES_TO_BEAR;
}

async function judgeCompleted(
  { wanted, policy, askedAt }: Pull,
  record: UploadRecord,
): Promise<string | undefined> {
  if (wanted.kind !== 'file') return `it was delivered, and should have been refused as ${wanted.kind}`;
  if (record.verification !== 'full_object') return `it is verified as ${record.verification} only`;
  await wanted.file.settled();
  const known = versionsOf(wanted.file, askedAt, endOf(record));
  if (known.some(({ sha256, sizeBytes }) => sha256 === record.sha256 && sizeBytes === record.size)) {
    return undefined;
  }
  if (policy === 'prefix' && (await isPrefixOf(known, record))) return undefined;
  return `its SHA-256 ${record.sha256}, of ${record.size} bytes, is of no version that the file had`;
}

function versionsOf({ versions }: SoakFile, from: number, to: number): FileVersion[] {
  return versions.filter((version) => version.until >= from && version.from <= to);
}

/** The agent may have opened the file during an append. */
async function isPrefixOf(
  versions: readonly FileVersion[],
  { size, sha256 }: UploadRecord,
): Promise<boolean> {
  if (size === null) return false;
  for (const { seed, sizeBytes } of versions) {
    if (sizeBytes >= size && (await sha256OfKeyStream(seed, size)) === sha256) return true;
  }
  return false;
}

function endOf({ completed_at: completedAt }: UploadRecord): number {
  return completedAt === null ? Infinity : Date.parse(completedAt);
}
