import assert from 'node:assert/strict';
import { isTerminal, versionDifferences } from '@backhaul/protocol';
import { BucketError } from '../../packages/server/src/domain/ports/bucket.ts';
import type { Upload } from '../../packages/server/src/domain/uploads/upload.ts';
import { type FileVersion, fingerprintOf } from './agent/simulated-file.ts';
import type { Simulation } from './simulation.ts';

/** Invariants that hold whenever the server is idle. */
export async function checkInvariants(simulation: Simulation): Promise<void> {
  const { checker, store } = simulation;
  const rows = await store.listUploads({ limit: 1000 });
  const onDisk = new Map(rows.map((row) => [row.uploadId, row]));
  assert.deepEqual(onDisk, checker.rows, 'a row changed in a way the server did not report');
  for (const row of rows) {
    if (row.status === 'completed') checkObject(simulation, row);
    else if (isTerminal(row.status)) assert.ok(row.error !== null && row.message, 'ended without a reason');
    assert.equal(row.stalledReason === null, row.stalledSince === null, 'stalled, but no reason is given');
    const isRunning = row.status === 'preparing' || row.status === 'uploading';
    if (isRunning && isAway(simulation, row))
      assert.ok(row.stalledReason, 'its agent is disconnected, but no stall is recorded');
  }
  for (const uploadId of simulation.operators.accepted) {
    const isKnown =
      onDisk.has(uploadId) || simulation.operators.removed.has(uploadId) || checker.removing.has(uploadId);
    assert.ok(isKnown, `${uploadId} was accepted but does not exist`);
  }
  for (const { level, data, message } of simulation.server?.log.entries.splice(0) ?? []) {
    if (message === 'orphaned multipart upload aborted') simulation.coverage.count('orphan aborted');
    if (level !== 'error' || isStoreAway(data)) continue;
    checker.report(`the server logged an error: ${message} ${inspectError(data)}`);
  }
  assert.deepEqual(checker.violations, []);
}

/** And recorded: a slow store that holds the upload's lock delays recording it. */
function isAway({ server, s3 }: Simulation, { clientId }: Upload): boolean {
  const isKnown = server !== undefined && s3.requests.waiting.length === 0;
  return isKnown && server.domain.transfers.sessions.newest(clientId) === undefined;
}

/** `completed` means: one object, of this attempt, with one version of the file, the fingerprinted one. */
function checkObject({ s3, agents, checker }: Simulation, row: Upload): void {
  const object = s3.state.objects.get(row.key);
  if (object === undefined && checker.removing.has(row.uploadId)) return;
  assert.ok(object !== undefined, `completed, but there is no object: ${row.uploadId}`);
  assert.equal(object.token, row.objectToken, 'the object belongs to another attempt');
  assert.equal(object.etag, row.etag);
  assert.equal(object.facts.sizeBytes, row.sizeBytes);
  const file = agents
    .find(({ clientId }) => clientId === row.clientId)
    ?.files.find(({ path }) => path === row.filePath);
  const source = file?.versions.find((version) => isSource(version, row, object.content));
  assert.ok(
    source,
    `the object of ${row.uploadId} matches no version of its file: ${object.content.join(' ')}`,
  );
}

/** A program that restores the mtime leaves two versions that only the bytes distinguish. */
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
