import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { slow } from './injection/s3/slow-call.ts';
import { Stage } from '../harness/stage.ts';
import { assertPulled } from './assert-pulled.ts';
import { PartPuts } from '../harness/part-puts.ts';
import { PART_BYTES, pullUnderWay } from '../harness/pull-under-way.ts';
import { stopwatch } from './stopwatch.ts';

const MiB = 1024 * 1024;

describe('a pull completes', { concurrency: 3 }, () => {
  test('to a store that lets one part trickle, which is sent once', async (t) => {
    await using stage = await Stage.start({ faults: true });
    const trickle = stage.faults.next({
      operation: 'UploadPart',
      skip: 4,
      fault: slow({ bytesPerSecond: PART_BYTES / 40 }),
    });
    const pull = await pullUnderWay(stage, { rate: 40 * MiB });
    const since = stopwatch();
    const record = await assertPulled(stage, pull);
    t.diagnostic(`completed after ${since()} ms`);
    assert.equal(trickle.firedCount, 1);
    const [call] = trickle.calls;
    assert.ok(call?.endedAtMs != null && call.endedAtMs - call.startedAtMs > 39_000, 'it did trickle');
    (await PartPuts.of(stage, record)).assertEachSentOnce(record);
  });

  test('over a line of half a megabyte a second, each part sent once', async (t) => {
    await using stage = await Stage.start({ storeNetworkFaults: true });
    stage.storeNetwork.limitBandwidth(MiB / 2);
    const pull = await pullUnderWay(stage, { sizeBytes: 22 * MiB, rate: 40 * MiB, parts: 1 });
    const since = stopwatch();
    const record = await assertPulled(stage, pull);
    t.diagnostic(`the rest took ${since()} ms`);
    assert.ok(stage.storeNetwork.fired.limitBandwidth > 100);
    (await PartPuts.of(stage, record)).assertEachSentOnce(record);
  });

  test('over lines that take 300 ms each way, each part sent once', async (t) => {
    await using stage = await Stage.start({ networkFaults: true, storeNetworkFaults: true });
    for (const line of [stage.network, stage.storeNetwork]) line.delay(300);
    const since = stopwatch();
    const pull = await pullUnderWay(stage, { rate: 40 * MiB });
    const record = await assertPulled(stage, pull);
    t.diagnostic(`completed after ${since()} ms`);
    for (const line of [stage.network, stage.storeNetwork]) assert.ok(line.fired.delay > 10);
    (await PartPuts.of(stage, record)).assertEachSentOnce(record);
  });

  test('over lines that cut each connection after so many bytes', async (t) => {
    await using stage = await Stage.start({ networkFaults: true, storeNetworkFaults: true });
    stage.storeNetwork.limitBytes(1.5 * PART_BYTES);
    const pull = await pullUnderWay(stage, { sizeBytes: 160 * MiB, rate: 20 * MiB });
    stage.network.limitBytes(3 * 1024, { connections: 3 });
    const record = await assertPulled(stage, pull);
    const store = stage.storeNetwork.fired.limitBytes;
    t.diagnostic(
      `${store} connections to the store were cut, ${stage.network.fired.limitBytes} to the server`,
    );
    assert.ok(store >= 4);
    assert.ok(stage.network.fired.limitBytes >= 2);
    const puts = await PartPuts.of(stage, record);
    puts.assertEachStoredOnce(record);
    // A cut loses the half of a part that was already sent.
    assert.ok(puts.twice(pull) <= store * PART_BYTES, `${puts.twice(pull)} bytes were received twice`);
  });
});
