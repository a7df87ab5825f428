import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { UploadRecord } from '@backhaul/protocol';
import { assertProblem } from '../harness/assert-problem.ts';
import type { FaultRule } from '../faults/injection/s3/fault-rule.ts';
import { dropAnswer, dropRequest } from '../faults/injection/s3/lost-call.ts';
import type { S3Operation } from '../faults/injection/s3/s3-operation-of.ts';
import { objectSize } from '../harness/object-size.ts';
import { randomFile } from '../harness/random-file.ts';
import { Stage } from '../harness/stage.ts';

const MiB = 1024 * 1024;
const DECIDING: readonly S3Operation[] = ['CompleteMultipartUpload', 'HeadObject', 'AbortMultipartUpload'];

describe('a cancel of what is completing while the server cannot reach the store', () => {
  test('is remembered over a restart, says so, and takes effect once the store is back', async () => {
    await using stage = await stageWithFile();
    const rules = loseDecidingCalls(stage);
    const { upload_id: id, key } = await stage.client.triggerDownload('till', {});
    await stage.recordWhen(
      id,
      ({ status, stalled_reason: reason }) => status === 'completing' && reason !== null,
    );

    const startedAt = performance.now();
    const answer = await stage.fetch(`/uploads/${id}/cancel`, { method: 'POST' });
    assert.ok(performance.now() - startedAt < 8000);
    assert.equal(answer.status, 202);
    const pending = (await answer.json()) as UploadRecord;
    assert.equal(pending.status, 'completing');
    assert.notEqual(pending.cancel_requested_at, null);
    assert.match(pending.message ?? '', /is pending/);
    assert.match(pending.stalled_reason ?? '', /^Waiting for the object store/);

    // The client of release 0.1.0 sends this header and does not know 202.
    const accept = 'application/json, application/problem+json';
    const old = await stage.fetch(`/uploads/${id}/cancel`, { method: 'POST', headers: { accept } });
    assert.equal(old.status, 200);
    const { code, stdout } = await stage.cli('cancel', id);
    assert.equal(code, 0);
    assert.match(stdout, /completing; the cancellation is recorded[\s\S]*backhaul uploads .* --follow/);
    const refused = await assertProblem(
      await stage.fetch(`/uploads/${id}`, { method: 'DELETE' }),
      409,
      'upload_not_finished',
    );
    assert.match(refused.detail, /once it has ended/);
    const next = await stage.client.triggerDownload('till', {});
    assert.notEqual(next.upload_id, id, 'an upload that is to be cancelled cannot be joined');

    await stage.restartServer({ signal: 'SIGKILL' });
    assert.notEqual((await stage.client.getUpload(id)).cancel_requested_at, null);
    const waiting = stage.startCli(['uploads', id, '--follow']);
    for (const rule of rules) rule.remove();
    const record = await stage.ended(id);
    assert.equal(record.status, 'cancelled', JSON.stringify(record));
    assert.equal(record.cancel_requested_at, null);
    await waiting.exit;
    assert.equal(await objectSize(stage.s3, key), undefined);
    assert.equal((await stage.ended(next.upload_id)).status, 'completed');
    await stage.noOpenMultipartUploads();
    assert.equal((await stage.fetch(`/uploads/${id}`, { method: 'DELETE' })).status, 204);
  });

  test('comes too late for a Complete that took effect, and says so', async () => {
    await using stage = await stageWithFile();
    const lost = stage.faults.next({ operation: 'CompleteMultipartUpload', fault: dropAnswer() });
    const rules = loseDecidingCalls(stage);
    const { upload_id: id, key } = await stage.client.triggerDownload('till', {});
    await stage.recordWhen(
      id,
      ({ status, stalled_reason: reason }) => status === 'completing' && reason !== null,
    );
    assert.equal(lost.firedCount, 1);
    assert.equal((await stage.client.cancelUpload(id)).status, 'completing');
    for (const rule of rules) rule.remove();
    const record = await stage.ended(id);
    assert.equal(record.status, 'completed', JSON.stringify(record));
    assert.match(record.message ?? '', /came too late/);
    assert.equal(await objectSize(stage.s3, key), 6 * MiB);
    await assertProblem(
      await stage.fetch(`/uploads/${id}/cancel`, { method: 'POST' }),
      409,
      'upload_finished',
    );
  });
});

async function stageWithFile(): Promise<Stage> {
  const stage = await Stage.start({ faults: true });
  const file = stage.directory.join('report.bin');
  await randomFile(file, 6 * MiB);
  await stage.startAgent('till', ['--file', file]);
  return stage;
}

/** Parts still get through: the agent sends them. */
function loseDecidingCalls(stage: Stage): FaultRule[] {
  return DECIDING.map((operation) => stage.faults.next({ operation, times: Infinity, fault: dropRequest() }));
}
