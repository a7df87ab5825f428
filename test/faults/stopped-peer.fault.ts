import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { stopReading } from './injection/s3/slow-call.ts';
import { logged, type Program } from '../harness/program.ts';
import { Stage } from '../harness/stage.ts';
import { assertPulled } from './assert-pulled.ts';
import { PartPuts } from '../harness/part-puts.ts';
import { IN_FLIGHT_BYTES, pullUnderWay } from '../harness/pull-under-way.ts';
import { stopwatch } from './stopwatch.ts';

const MiB = 1024 * 1024;
const NOTICED_MS = 60_000;
const AWAY = 'The agent is not connected.';

describe('a peer that stops', { concurrency: true }, () => {
  test('reading one part, being the store, gets it over another connection', async (t) => {
    await using stage = await Stage.start({ faults: true });
    const stopped = stage.faults.next({
      operation: 'UploadPart',
      skip: 5,
      fault: stopReading({ afterBytes: MiB }),
    });
    const pull = await pullUnderWay(stage);
    await stopped.fired();
    const since = stopwatch();
    await pull.agent.line(logged('PUT failed'), { deadlineMs: NOTICED_MS });
    const noticedMs = since();
    const record = await assertPulled(stage, pull);
    t.diagnostic(`noticed after ${noticedMs} ms`);
    assert.ok(noticedMs < NOTICED_MS);
    const { partNumber } = stopped.calls[0] ?? {};
    const tries = stage.faults.calls.filter(
      ({ operation, key, partNumber: number }) =>
        operation === 'UploadPart' && key === record.key && number === partNumber,
    );
    assert.deepEqual(
      tries.map(({ fault, status }) => [fault, status]),
      [
        ['stopReading', null],
        [null, 200],
      ],
    );
    const puts = await PartPuts.of(stage, record);
    assert.ok(puts.twice(pull) <= IN_FLIGHT_BYTES);
  });

  test('being the server, is left and come back to, while PUTs go on', async (t) => {
    await using stage = await Stage.start();
    const pull = await pullUnderWay(stage);
    using stopped = stop(stage.server);
    await pull.agent.line((line) => line.includes('connection lost') || undefined, {
      deadlineMs: NOTICED_MS,
    });
    const noticedMs = stopped.since();
    // The stopped system still accepts connections: the next try has to end too.
    await pull.agent.line((line) => line.includes('handshake has timed out') || undefined);
    const continuedAt = stopped.goOn();
    const record = await assertPulled(stage, pull);
    t.diagnostic(`the agent noticed after ${noticedMs} ms`);
    assert.ok(noticedMs < NOTICED_MS);
    const puts = await PartPuts.of(stage, record);
    puts.assertEachSentOnce(record);
    const stored = puts.storedBetween(stopped.at, continuedAt);
    assert.ok(stored.length >= 4, `${stored.length} parts were stored meanwhile`);
  });

  test('being the agent, is on record, and goes on where it was', async (t) => {
    await using stage = await Stage.start();
    const pull = await pullUnderWay(stage);
    using stopped = stop(pull.agent);
    const stalled = await stage.recordWhen(pull.uploadId, ({ stalled_reason: reason }) => reason === AWAY);
    const noticedMs = stopped.since();
    const before = (await PartPuts.of(stage, stalled)).storedBetween(0, Date.now());
    stopped.goOn();
    const record = await assertPulled(stage, pull);
    t.diagnostic(`the server noticed after ${noticedMs} ms, with ${before.length} parts stored`);
    assert.ok(noticedMs < NOTICED_MS);
    assert.notEqual(stalled.stalled_since, null);
    assert.ok(before.length >= 3 && before.length < (record.part_count ?? 0));
    const puts = await PartPuts.of(stage, record);
    // The store may have buffered the rest of a part and stored it, while the agent could not read the response.
    puts.assertEachStoredOnce(record, { except: puts.straddling(stopped.at) });
    assert.ok(puts.twice(pull) <= IN_FLIGHT_BYTES, `${puts.twice(pull)} bytes were received twice`);
  });
});

/** The program resumes at the end at the latest: a stopped program cannot be ended. */
function stop(program: Program) {
  program.kill('SIGSTOP');
  return {
    at: Date.now(),
    since: stopwatch(),
    /** @returns the resume time in milliseconds since the epoch. */
    goOn: (): number => {
      program.kill('SIGCONT');
      return Date.now();
    },
    [Symbol.dispose]: (): void => {
      program.kill('SIGCONT');
    },
  };
}
