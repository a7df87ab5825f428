import assert from 'node:assert/strict';
import { isTerminal, versionDifferences } from '@backhaul/protocol';
import { BucketError } from '../ports/bucket.ts';
import type { Upload } from '../uploads/upload.ts';
import { type FileVersion, fingerprintOf } from './agent/simulated-file.ts';
import type { World } from './world.ts';

/** What holds at any time at which the server is at rest. */
export async function checkInvariants(world: World): Promise<void> {
  const { witness, store } = world;
  const rows = await store.listUploads({ limit: 1000 });
  const onDisk = new Map(rows.map((row) => [row.uploadId, row]));
  assert.deepEqual(onDisk, witness.rows, 'a row changed in another way than the server was told');
  for (const row of rows) {
    if (row.status === 'completed') checkObject(world, row);
    else if (isTerminal(row.status)) assert.ok(row.error !== null && row.message, 'ended without a reason');
    assert.equal(row.stalledReason === null, row.stalledSince === null, 'stalled, but no reason is given');
    const isRunning = row.status === 'preparing' || row.status === 'uploading';
    if (isRunning && isAway(world, row))
      assert.ok(row.stalledReason, 'its agent is away, and nobody says so');
  }
  for (const uploadId of world.desk.accepted) {
    const isKnown =
      onDisk.has(uploadId) || world.desk.removed.has(uploadId) || witness.removing.has(uploadId);
    assert.ok(isKnown, `${uploadId} was accepted, and is not there`);
  }
  for (const { level, data, message } of world.server?.log.entries.splice(0) ?? []) {
    if (message === 'orphaned multipart upload aborted') world.tally.count('orphan aborted');
    if (level !== 'error' || isStoreAway(data)) continue;
    witness.object(`the server logged an error: ${message} ${inspectError(data)}`);
  }
  assert.deepEqual(witness.objections, []);
}

/** And known to be: whoever holds the upload's lock, because the store is slow, keeps that from being recorded. */
function isAway({ server, s3 }: World, { clientId }: Upload): boolean {
  const isKnown = server !== undefined && s3.requests.waiting.length === 0;
  return isKnown && server.domain.transfers.sessions.newest(clientId) === undefined;
}

/** `completed` says: one object, of this attempt, and of one version of the file, the one that was fingerprinted. */
function checkObject({ s3, agents, witness }: World, row: Upload): void {
  const object = s3.state.objects.get(row.key);
  if (object === undefined && witness.removing.has(row.uploadId)) return;
  assert.ok(object !== undefined, `completed, and there is no object: ${row.uploadId}`);
  assert.equal(object.token, row.objectToken, 'the object is of another attempt');
  assert.equal(object.etag, row.etag);
  assert.equal(object.facts.sizeBytes, row.sizeBytes);
  const file = agents
    .find(({ clientId }) => clientId === row.clientId)
    ?.files.find(({ path }) => path === row.filePath);
  const source = file?.versions.find((version) => isSource(version, row, object.content));
  assert.ok(
    source,
    `the object of ${row.uploadId} is of no version of its file: ${object.content.join(' ')}`,
  );
}

/** A program that puts the mtime back leaves two versions that only the bytes tell apart. */
function isSource(version: FileVersion, row: Upload, content: readonly number[]): boolean {
  if (row.fingerprint === null) return false;
  const isSame = versionDifferences(row.fingerprint, fingerprintOf(version), row.onChange).length === 0;
  const expected = row.onChange === 'prefix' ? version.content.slice(0, content.length) : version.content;
  return isSame && JSON.stringify(expected) === JSON.stringify(content);
}

function isStoreAway(data: object): boolean {
  return 'err' in data && data.err instanceof BucketError && data.err.kind === 'unavailable';
}

function inspectError(data: object): string {
  return 'err' in data && data.err instanceof Error ? (data.err.stack ?? '') : JSON.stringify(data);
}
