import { createHash } from 'node:crypto';
import { rm } from 'node:fs/promises';
import type { UploadRecord } from '@backhaul/protocol';
import { logged } from '../harness/program.ts';
import { randomFile } from '../harness/random-file.ts';
import type { Stage } from '../harness/stage.ts';
import type { TrialName, TrialResult } from './trial-results.ts';

const MiB = 1024 * 1024;
const PART_BYTES = 5 * MiB;
/** The agent's limit. */
const PARALLEL_PARTS = 8;
const KILLED_BYTES = 700_000_000;
/** Headers of some hundred parts and of the aborted requests. */
const OVERHEAD_BYTES = 2 * MiB;
/** Some of these stores are slow. */
const patience = { deadlineMs: 600_000 };

const sizes: readonly (readonly [TrialName, number])[] = [
  ['0 bytes', 0],
  ['1 byte', 1],
  ['one part', PART_BYTES],
  ['one part + 1 byte', PART_BYTES + 1],
];

/** Pulls, reads back and compares files with sizes around part boundaries. */
export async function trySizes(stage: Stage, report: (result: TrialResult) => void): Promise<void> {
  await using agent = await stage.startAgent('edges', ['--allow', stage.directory.path]);
  for (const [name, sizeBytes] of sizes) {
    const file = stage.directory.join(`${sizeBytes}.bin`);
    const sha256 = await randomFile(file, sizeBytes);
    const record = await stage.pull('edges', { file_path: file });
    const wrong = record.status === 'completed' ? await wrongBytes(stage, record, sha256) : said(record);
    report({ name, outcome: wrong === null ? 'ok' : 'failed', detail: wrong ?? '' });
  }
  await agent.stop();
}

/**
 * Kills the agent halfway through a pull, restarts it, and counts bytes that reached the store twice: only parts in
 * flight are allowed, unless doctor reported before that every byte is sent again.
 */
export async function tryKill(
  stage: Stage,
  isResumeOff: boolean,
  report: (result: TrialResult) => void,
): Promise<void> {
  const name = '`kill -9` at half of 700 MB';
  const file = stage.directory.join('killed.bin');
  const sha256 = await randomFile(file, KILLED_BYTES);
  const args = ['--file', file, '--max-rate', String(60 * MiB)];
  const before = stage.storeNetwork.bytesToTarget;
  const agent = await stage.startAgent('killed', args);
  const { upload_id: id } = await stage.client.triggerDownload('killed', {});
  await stage.recordWhen(id, ({ bytes_uploaded: bytes }) => bytes >= KILLED_BYTES / 2, patience);
  agent.kill('SIGKILL');
  await agent.exit;
  await using again = await stage.startAgent('killed', args);
  const kept = await Promise.race([
    again.line(logged('resumed'), { deadlineMs: 60_000 }).then((entry) => Number(entry['kept'])),
    stage.ended(id, patience).then(() => 0),
  ]).catch(() => 0);
  const record = await stage.ended(id, patience);
  const sentTwice = stage.storeNetwork.bytesToTarget - before - KILLED_BYTES;
  const told = `${kept} parts kept, ${(sentTwice / MiB).toFixed(1)} MiB sent twice`;
  const killed = (outcome: TrialResult['outcome'], detail: string): void => report({ name, outcome, detail });
  if (record.status !== 'completed') return killed('failed', said(record));
  const wrong = await wrongBytes(stage, record, sha256);
  if (wrong !== null) return killed('failed', wrong);
  if (sentTwice <= PARALLEL_PARTS * PART_BYTES + OVERHEAD_BYTES) killed('ok', told);
  else if (isResumeOff) killed('ok', `${told}, as doctor said`);
  else killed('failed', `${told}, and doctor did not say so`);
  report(await tryVerify(stage, id));
  await stage.client.deleteUpload(id, { object: true });
  await rm(file);
}

async function tryVerify(stage: Stage, id: string): Promise<TrialResult> {
  for (const args of [[], ['--content']]) {
    const { code, stdout, stderr } = await stage.cli('verify', id, ...args);
    if (code !== 0) {
      const detail = `verify ${args.join(' ')} exited with ${code}: ${(stdout + stderr).trim().slice(-300)}`;
      return { name: 'verify, content', outcome: 'failed', detail };
    }
  }
  return { name: 'verify, content', outcome: 'ok', detail: '' };
}

/** Fetches the file as any client does. @returns null if it is correct. */
async function wrongBytes(
  stage: Stage,
  { upload_id: id }: UploadRecord,
  sha256: string,
): Promise<string | null> {
  const redirect = await stage.fetch(`/uploads/${id}/content`);
  const location = redirect.headers.get('location');
  if (location === null)
    return `content answered ${redirect.status}: ${(await redirect.text()).slice(0, 300)}`;
  const answer = await fetch(location);
  const hash = createHash('sha256');
  for await (const bytes of answer.body ?? []) hash.update(bytes);
  const found = hash.digest('hex');
  return found === sha256 ? null : `HTTP ${answer.status}, and the SHA-256 is ${found}`;
}

function said({ status, error, message }: UploadRecord): string {
  return `${status}, ${error}: ${message}`;
}
