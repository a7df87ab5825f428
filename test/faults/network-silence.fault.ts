import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { logged } from '../harness/program.ts';
import { Stage } from '../harness/stage.ts';
import { assertPulled } from './assert-pulled.ts';
import { PartPuts } from '../harness/part-puts.ts';
import { IN_FLIGHT_BYTES, pullUnderWay } from '../harness/pull-under-way.ts';
import { stopwatch } from './stopwatch.ts';

const MiB = 1024 * 1024;
/** Maximum time to detect any silence. */
const NOTICED_MS = 60_000;
const AWAY = 'The agent is not connected.';

// The tests mostly wait, so they run concurrently.
describe('a line that falls silent', { concurrency: true }, () => {
  for (const { how, fault, agentHears } of [
    { how: 'both ways', fault: 'halfOpen', agentHears: 'no data received' },
    // The server's pings still arrive: the agent learns of the fault when the server closes the connection.
    { how: 'from the agent to the server', fault: 'stopReading', agentHears: 'closed by the server' },
  ] as const) {
    test(`${how}, is noticed at both ends, and no part is sent again`, async (t) => {
      await using stage = await Stage.start({ networkFaults: true });
      const pull = await pullUnderWay(stage);
      const since = stopwatch();
      stage.network[fault]();
      const silentAt = Date.now();
      const [agentMs, server] = await Promise.all([
        pull.agent
          .line((line) => line.includes(agentHears) || undefined, { deadlineMs: NOTICED_MS })
          .then(since),
        stage
          .recordWhen(pull.uploadId, ({ stalled_reason: reason }) => reason === AWAY)
          .then((record) => ({ record, ms: since() })),
      ]);
      const backAt = Date.now();
      await stage.network.resume();
      const record = await assertPulled(stage, pull);
      t.diagnostic(`the agent noticed after ${agentMs} ms, the server after ${server.ms} ms`);
      assert.ok(Math.max(agentMs, server.ms) < NOTICED_MS);
      assert.ok(stage.network.fired[fault] >= 1);
      assert.equal(server.record.status, 'uploading');
      assert.notEqual(server.record.stalled_since, null);
      const puts = await PartPuts.of(stage, record);
      puts.assertEachSentOnce(record);
      assert.ok(puts.storedBetween(silentAt, backAt).length > 0, 'PUTs went on');
    });
  }

  test('between agent and server, for a connection that a router forgot, is left for a new one', async (t) => {
    await using stage = await Stage.start({ networkFaults: true });
    const pull = await pullUnderWay(stage);
    const since = stopwatch();
    stage.network.strand();
    const record = await assertPulled(stage, pull);
    t.diagnostic(`completed after ${since()} ms`);
    assert.ok(since() < NOTICED_MS);
    assert.equal(stage.network.fired.strand, 1);
    assert.ok(pull.agent.output.stderr.includes('no data received'));
    (await PartPuts.of(stage, record)).assertEachSentOnce(record);
  });

  for (const { how, fault } of [
    { how: 'both ways', fault: 'halfOpen' },
    { how: 'because the store reads no more', fault: 'stopReading' },
  ] as const) {
    test(`between agent and store, ${how}, is on record, and only parts in flight are sent again`, async (t) => {
      await using stage = await Stage.start({ storeNetworkFaults: true });
      const pull = await pullUnderWay(stage);
      const since = stopwatch();
      stage.storeNetwork[fault]();
      const stalled = await stage.recordWhen(pull.uploadId, ({ stalled_since: at }) => at !== null);
      const noticedMs = since();
      await stage.storeNetwork.resume();
      const record = await assertPulled(stage, pull);
      t.diagnostic(`on record after ${noticedMs} ms: ${stalled.stalled_reason}`);
      assert.ok(noticedMs < NOTICED_MS);
      assert.match(
        stalled.stalled_reason ?? '',
        /^Part \d+: no progress on the connection to \S+ \(ETIMEDOUT\)\./,
      );
      assert.ok(stage.storeNetwork.fired[fault] >= 4, 'it met parts in flight');
      const puts = await PartPuts.of(stage, record);
      // Counts parts in flight and parts whose first retry met the silence too.
      assert.ok(puts.twice(pull) <= 2 * IN_FLIGHT_BYTES, `${puts.twice(pull)} bytes were received twice`);
    });
  }

  test('between agent and store, for connections that a router forgot, is left for new ones', async (t) => {
    await using stage = await Stage.start({ storeNetworkFaults: true });
    const pull = await pullUnderWay(stage);
    const since = stopwatch();
    stage.storeNetwork.strand();
    await pull.agent.line(logged('PUT failed'), { deadlineMs: NOTICED_MS });
    const noticedMs = since();
    const record = await assertPulled(stage, pull);
    t.diagnostic(`noticed after ${noticedMs} ms, completed after ${since()} ms`);
    assert.ok(noticedMs < NOTICED_MS);
    assert.ok(stage.storeNetwork.fired.strand >= 4);
    const puts = await PartPuts.of(stage, record);
    assert.ok(puts.twice(pull) <= IN_FLIGHT_BYTES, `${(puts.twice(pull) / MiB).toFixed(1)} MiB twice`);
  });
});
