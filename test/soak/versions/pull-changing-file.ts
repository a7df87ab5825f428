import { setTimeout as sleep } from 'node:timers/promises';
import { GetObjectCommand } from '@aws-sdk/client-s3';
import type { ChangePolicy, UploadRecord } from '@backhaul/protocol';
import type { Stage } from '../../harness/stage.ts';
import { type Behaviour, behaviours, type ChangingFile } from './changing-file.ts';
import { stateOf } from './file-states.ts';
import type { Results, Treatment } from './results.ts';

/** An agent trusts timestamps that are older than 10 s. */
const REST_MS = 11_000;
/** Most pulls are over this long after the trigger. */
const CHANGES_WITHIN_MS = 1200;
const END_MS = 300_000;

export interface Pulling {
  readonly stage: Stage;
  readonly clientId: string;
  readonly file: ChangingFile;
  readonly random: () => number;
  readonly results: Results;
}

/** Pulls a file once, with or without changes, and compares the object with the file's states. */
export async function pullChangingFile(
  pulling: Pulling,
  { rest }: { rest: 'never' | 'sometimes' | 'always' },
): Promise<void> {
  const { stage, clientId, file, random, results } = pulling;
  const below = (limit: number) => Math.floor(random() * limit);
  const behaviour = behaviours[below(behaviours.length)];
  const changes = behaviour === undefined || random() < 0.3 ? 0 : 1 + below(4);
  const draw = random();
  const rests = rest === 'always' || (rest === 'sometimes' && draw < 0.25);
  const policy = (['fail', 'fail', 'fail', 'prefix', 'restart'] as const)[below(5)] ?? 'fail';
  if (rests) await sleep(Math.max(0, REST_MS - file.restedMs));
  // In half of the cases the file has just changed.
  else if (behaviour !== undefined && random() < 0.5) await file.change(behaviour);
  const from = file.states.count - 1;
  const { isSettled } = file;
  const request = { file_path: file.path, on_change: policy, force: true };
  const { upload_id: id } = await stage.client.triggerDownload(clientId, request);
  const [record] = await Promise.all([ended(stage, id), changeNow(file, behaviour, { changes, random })]);
  const restTreatment = rests ? 'left alone for 10 s' : 'left alone';
  const treatment: Treatment = changes === 0 || behaviour === undefined ? restTreatment : behaviour;
  if (rests && record.error === 'file_changed') results.addRestedChange(id);
  await judge(record, pulling, { treatment, from, policy, isSettled });
  await stage.client.deleteUpload(id, { object: true });
}

async function changeNow(
  file: ChangingFile,
  behaviour: Behaviour | undefined,
  { changes, random }: { changes: number; random: () => number },
): Promise<void> {
  if (behaviour === undefined) return;
  for (let left = changes; left > 0; left -= 1) {
    await sleep((random() * CHANGES_WITHIN_MS) / changes);
    await file.change(behaviour);
  }
}

async function judge(
  record: UploadRecord,
  { stage, file, results }: Pulling,
  {
    treatment,
    from,
    policy,
    isSettled,
  }: { treatment: Treatment; from: number; policy: ChangePolicy; isSettled: boolean },
): Promise<void> {
  const text = `${record.status}, ${record.error}: ${record.message}`;
  if (record.status === 'failed' && record.error === 'file_changed') {
    results.add(treatment, 'fileChanged');
    if (treatment.startsWith('left alone') && isSettled)
      results.faults.push(`a file that was left alone: ${text}`);
    return;
  }
  if (record.status !== 'completed') {
    results.faults.push(text);
    return;
  }
  const { client, bucket } = stage.s3;
  const { Body } = await client.send(new GetObjectCommand({ Bucket: bucket, Key: record.key }));
  const state = await stateOf(Body as AsyncIterable<Buffer>, file.parts);
  const isState = state !== undefined && file.states.includes(state, { from, asPrefix: policy === 'prefix' });
  results.add(treatment, isState ? 'completed' : 'mixed');
}

async function ended({ client }: Stage, id: string): Promise<UploadRecord> {
  for await (const record of client.followUpload(id, { signal: AbortSignal.timeout(END_MS) })) {
    if (record.completed_at !== null) return record;
  }
  throw new Error(`upload ${id} did not end within ${END_MS / 1000} s`);
}
