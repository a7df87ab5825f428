import { setTimeout as sleep } from 'node:timers/promises';
import { ListMultipartUploadsCommand, paginateListObjectsV2 } from '@aws-sdk/client-s3';
import { isTerminal, type UploadRecord } from '@backhaul/protocol';
import { isTrial } from '../faults/injection/s3/s3-call.ts';
import type { Stage } from '../harness/stage.ts';
import { patiently } from './patiently.ts';
import type { Results } from './results.ts';
import { readStoredObject } from './stored-object.ts';

/** The sweeper runs every ten seconds, and twice if an abort failed. */
const MULTIPARTS_GONE_MS = 60_000;
const PAUSE_MS = 500;

/** Checks at the end that server and store hold exactly what the operators expect. */
export async function lookAtAll(stage: Stage, results: Results, signal: AbortSignal): Promise<void> {
  const records = await patiently(stage, (client) => Array.fromAsync(client.eachUpload()), signal);
  const byId = new Map(records.map((record) => [record.upload_id, record]));
  for (const pull of results.pulls.values()) {
    const record = byId.get(pull.uploadId);
    const name = `${pull.uploadId} of ${pull.clientId}`;
    if (pull.removed !== (record === undefined)) {
      results.wrongOutcome(
        pull.removed ? `${name} was removed, and is there` : `${name} was accepted, and is lost`,
      );
    } else if (record !== undefined && !isTerminal(record.status)) {
      results.wrongOutcome(`${name} is stuck: ${record.status}, ${record.stalled_reason ?? 'for no reason'}`);
    }
  }
  for (const { upload_id: uploadId } of records) {
    if (!results.pulls.has(uploadId)) results.wrongOutcome(`${uploadId} was not started by any operator`);
  }
  await lookAtObjects(stage, results, { records, signal });
  await lookAtMultiparts(stage, results, signal);
}

async function lookAtObjects(
  stage: Stage,
  results: Results,
  { records, signal }: { records: readonly UploadRecord[]; signal: AbortSignal },
): Promise<void> {
  const keys = new Set<string>();
  const { client, bucket } = stage.s3;
  for await (const { Contents = [] } of paginateListObjectsV2(
    { client },
    { Bucket: bucket, Prefix: 'uploads/' },
  )) {
    for (const { Key = '' } of Contents) if (!isTrial({ key: Key })) keys.add(Key);
  }
  for (const { upload_id: uploadId, status, key, sha256, size } of records) {
    if (status !== 'completed') continue;
    const object = await readStoredObject(stage, key, signal);
    if (object?.sha256 !== sha256 || object?.sizeBytes !== size) {
      results.wrongOutcome(`${uploadId} completed, and its object is not what its record says any more`);
    }
    keys.delete(key);
  }
  for (const key of keys) results.wrongOutcome(`an object that belongs to no completed upload: ${key}`);
}

async function lookAtMultiparts({ s3 }: Stage, results: Results, signal: AbortSignal): Promise<void> {
  const deadline = performance.now() + MULTIPARTS_GONE_MS;
  for (;;) {
    const { Uploads = [] } = await s3.client.send(new ListMultipartUploadsCommand({ Bucket: s3.bucket }));
    // Keys of store checks are exempt for an hour, because a starting server may be using them.
    const left = Uploads.filter(({ Key }) => !isTrial({ key: Key }));
    if (left.length === 0) return;
    if (performance.now() > deadline) {
      for (const { Key } of left) results.wrongOutcome(`a multipart upload that is never aborted: ${Key}`);
      return;
    }
    await sleep(PAUSE_MS, undefined, { signal });
  }
}
