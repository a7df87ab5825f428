import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { UploadRecord } from '@backhaul/protocol';
import {
  expiresUploads,
  neverCompletesFirstUpload,
  neverListsFirstUpload,
} from './injection/stores/uploads-that-never-end.ts';
import { objectSize } from '../harness/object-size.ts';
import { randomFile } from '../harness/random-file.ts';
import { Stage } from '../harness/stage.ts';
import { pullUnderWay } from '../harness/pull-under-way.ts';

const MiB = 1024 * 1024;
/** Half a minute of tries plus the waits between them. */
const PATIENCE_MS = 180_000;
/** Longer than the server's check of the store at startup. */
const EXPIRY_MS = 4000;

describe(
  'a store that fails one multipart upload for good, and is well otherwise',
  { concurrency: 2 },
  () => {
    test('at Complete has it aborted, and gets the file in another one', async () => {
      await using stage = await Stage.start({ store: neverCompletesFirstUpload });
      const file = stage.directory.join('report.bin');
      const sha256 = await randomFile(file, 12 * MiB);
      await stage.startAgent('till', ['--file', file]);
      const { upload_id: id } = await stage.client.triggerDownload('till', {});
      const record = await endedPatiently(stage, id);
      const { shownCount } = stage.behaviour;
      assert.ok(shownCount >= 6 && shownCount <= 30, `${shownCount} calls`);
      assert.equal(record.status, 'completed', JSON.stringify(record));
      assert.equal(record.sha256, sha256);
      assert.equal(await objectSize(stage.s3, record.key), 12 * MiB);
      const completes = stage.faults.calls.filter(
        ({ operation, key }) => operation === 'CompleteMultipartUpload' && key === record.key,
      );
      const [first, last] = [completes[0], completes.at(-1)];
      const abort = stage.faults.calls.find(
        ({ operation, uploadId }) => operation === 'AbortMultipartUpload' && uploadId === first?.uploadId,
      );
      assert.notEqual(last?.uploadId, first?.uploadId);
      assert.ok(
        (abort?.endedAtMs ?? Infinity) <= (last?.startedAtMs ?? 0),
        'aborted before the next is completed',
      );
      await stage.noOpenMultipartUploads();
    });

    test('at ListParts has it given up after some tries, and gets the file in another one', async () => {
      await using stage = await Stage.start({ store: neverListsFirstUpload });
      const pull = await pullUnderWay(stage);
      pull.agent.kill('SIGKILL');
      await pull.agent.exit;
      await stage.startAgent('till', pull.agentArgs);
      const record = await endedPatiently(stage, pull.uploadId);
      assert.ok(stage.behaviour.shownCount >= 3, `${stage.behaviour.shownCount} calls`);
      assert.equal(record.status, 'completed', JSON.stringify(record));
      assert.equal(record.sha256, pull.sha256);
      await stage.noOpenMultipartUploads();
    });
  },
);

test('a store that drops every multipart upload by its age ends the upload, with what to set', async () => {
  await using stage = await Stage.start({ store: expiresUploads({ afterMs: EXPIRY_MS }) });
  const file = stage.directory.join('report.bin');
  await randomFile(file, 6 * MiB);
  // Each attempt takes six seconds.
  await stage.startAgent('till', ['--file', file, '--max-rate', String(MiB)]);
  const { upload_id: id } = await stage.client.triggerDownload('till', {});
  const record = await endedPatiently(stage, id);
  assert.ok(stage.behaviour.shownCount > 0);
  assert.equal(record.error, 'upload_gone', JSON.stringify(record));
  assert.match(
    record.message ?? '',
    /created .* earlier.*MinIO.*stale_uploads_expiry.*AbortIncompleteMultipartUpload/,
  );
});

async function endedPatiently(stage: Stage, uploadId: string): Promise<UploadRecord> {
  const signal = AbortSignal.timeout(PATIENCE_MS);
  for await (const record of stage.client.followUpload(uploadId, { signal })) {
    if (record.completed_at !== null) return record;
  }
  throw new Error(`upload ${uploadId} does not end`);
}
