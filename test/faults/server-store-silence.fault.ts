import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { FaultRule } from './injection/s3/fault-rule.ts';
import { hold } from './injection/s3/hold.ts';
import type { S3Operation } from './injection/s3/s3-operation-of.ts';
import { logged } from '../harness/program.ts';
import { randomFile } from '../harness/random-file.ts';
import { Stage } from '../harness/stage.ts';
import { assertPulled } from './assert-pulled.ts';
import { PartPuts } from '../harness/part-puts.ts';
import { IN_FLIGHT_BYTES, type PullUnderWay, pullUnderWay } from '../harness/pull-under-way.ts';
import { stopwatch } from './stopwatch.ts';

const MiB = 1024 * 1024;
/** Time limit of all tries of a call together. */
const CALL_MS = 60_000;
/** Only Complete may be silent for longer: stores assemble thousands of parts without sending data. */
const COMPLETE_MS = 130_000;
/** Allowance for a busy machine. */
const MARGIN_MS = 15_000;

describe('silence between server and store', { concurrency: true }, () => {
  test('as a multipart upload is created, ends the call, and the pull waits for the store', async (t) => {
    await using stage = await startStage();
    const file = stage.directory.join('large.bin');
    const sha256 = await randomFile(file, 20 * MiB);
    await stage.startAgent('till', ['--file', file]);
    const silence = fallSilentAt(stage, 'CreateMultipartUpload', 'halfOpen');
    const { upload_id: uploadId } = await stage.client.triggerDownload('till', {});
    await silence.fired();
    const { reason } = await backInQueue(stage);
    assert.match(
      String(reason),
      /^Waiting for the object store: CreateMultipartUpload .* no response within/,
    );
    assert.equal((await stage.client.getUpload(uploadId)).stalled_reason, reason);
    await stage.serverStoreNetwork.resume();
    const record = await stage.ended(uploadId);
    assert.equal(record.status, 'completed', record.message ?? '');
    assert.equal(record.sha256, sha256);
    const ms = await longestCall(stage, 'createMultipartUpload');
    t.diagnostic(`the call ended after ${ms} ms`);
    assert.ok(ms < CALL_MS + MARGIN_MS);
    // The store had created the upload, but its response was lost.
    await stage.noOpenMultipartUploads({ deadlineMs: 30_000 });
  });

  test('as parts are listed, ends the call, is on record, and no stored part is sent again', async (t) => {
    await using stage = await startStage();
    const pull = await pullUnderWay(stage);
    const silence = fallSilentAt(stage, 'ListParts', 'halfOpen');
    const resumed = await restartAgent(stage, pull);
    await silence.fired();
    await stage.server.line((line) => logged('upload requeued')(line)?.['attempt'] === 3 || undefined, {
      deadlineMs: CALL_MS + MARGIN_MS,
    });
    const stalled = await stage.client.getUpload(pull.uploadId);
    assert.match(stalled.stalled_reason ?? '', /^Waiting for the object store: ListParts .* no response/);
    assert.notEqual(stalled.stalled_since, null);
    assert.notEqual(stalled.next_retry_at, null);
    await stage.serverStoreNetwork.resume();
    const record = await assertPulled(stage, resumed, { attempt: 3 });
    const ms = await longestCall(stage, 'listParts');
    t.diagnostic(`the call ended after ${ms} ms`);
    assert.ok(ms < CALL_MS + MARGIN_MS);
    const puts = await PartPuts.of(stage, record);
    puts.assertEachStoredOnce(record);
    assert.ok(puts.twice(pull) <= IN_FLIGHT_BYTES);
  });

  test('as parts are listed, over connections that a router forgot, is over with the next try', async (t) => {
    await using stage = await startStage();
    const pull = await pullUnderWay(stage);
    const silence = fallSilentAt(stage, 'ListParts', 'strand');
    const resumed = await restartAgent(stage, pull);
    await silence.fired();
    const record = await assertPulled(stage, resumed, { attempt: 2 });
    const ms = await longestCall(stage, 'listParts');
    t.diagnostic(`the call ended after ${ms} ms`);
    assert.ok(ms < CALL_MS / 2);
    assert.ok(stage.serverStoreNetwork.fired.strand >= 1);
    (await PartPuts.of(stage, record)).assertEachStoredOnce(record);
  });

  const title = 'as an upload is completed, is bounded too, and then the object is found';
  test(title, { timeout: 170_000 }, async (t) => {
    await using stage = await startStage();
    const silence = fallSilentAt(stage, 'CompleteMultipartUpload', 'strand');
    const pull = await pullUnderWay(stage);
    await silence.fired();
    const since = stopwatch();
    await stage.faults.ended({ operation: 'CompleteMultipartUpload', matching: isUpload });
    assert.equal((await stage.client.getUpload(pull.uploadId)).status, 'completing');
    await stage.server.line(logged('upload completed'), { deadlineMs: COMPLETE_MS });
    const record = await assertPulled(stage, pull);
    const ms = await longestCall(stage, 'completeMultipartUpload');
    t.diagnostic(`the call ended after ${ms} ms, the pull after ${since()} ms`);
    assert.ok(ms < COMPLETE_MS);
    assert.ok(since() < ms + MARGIN_MS);
    assert.equal(silence.calls[0]?.key, record.key);
    const completions = stage.faults.calls.filter(
      ({ operation, key }) => operation === 'CompleteMultipartUpload' && key === record.key,
    );
    assert.equal(completions.length, 1, 'it was found by its token');
  });
});

function startStage(): Promise<Stage> {
  return Stage.start({
    faults: true,
    serverStoreNetworkFaults: true,
    env: { ORPHAN_AGE_SECONDS: '1' },
  });
}

/** The call reaches the store, but its response is lost. */
function fallSilentAt(stage: Stage, operation: S3Operation, how: 'halfOpen' | 'strand'): FaultRule {
  const before = (): void => stage.serverStoreNetwork[how]();
  return stage.faults.next({ operation, matching: isUpload, fault: hold({ before }) });
}

function isUpload({ key }: { readonly key: string | undefined }): boolean {
  return key?.startsWith('uploads/') ?? false;
}

async function backInQueue({ server }: Stage): Promise<Record<string, unknown>> {
  return await server.line(logged('upload requeued'), { deadlineMs: CALL_MS + MARGIN_MS });
}

async function restartAgent(stage: Stage, pull: PullUnderWay): Promise<PullUnderWay> {
  pull.agent.kill('SIGKILL');
  await pull.agent.exit;
  return { ...pull, agent: await stage.startAgent('till', pull.agentArgs) };
}

/** Duration in milliseconds; of calls of one kind, all but the longest take no time. */
async function longestCall(stage: Stage, operation: string): Promise<number> {
  const metrics = await (await stage.fetch('/metrics')).text();
  const sums = metrics.matchAll(
    new RegExp(`^backhaul_s3_request_duration_seconds_sum\\{operation="${operation}",.*\\} (.*)$`, 'gm'),
  );
  return Math.round(1000 * Math.max(0, ...[...sums].map(([, seconds]) => Number(seconds))));
}
