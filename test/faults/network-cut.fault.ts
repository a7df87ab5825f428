import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { requestExpired } from './injection/s3/error-answer.ts';
import { logged } from '../harness/program.ts';
import { Stage } from '../harness/stage.ts';
import { assertPulled } from './assert-pulled.ts';
import { PartPuts } from '../harness/part-puts.ts';
import { IN_FLIGHT_BYTES, PARALLEL_PARTS, pullUnderWay } from '../harness/pull-under-way.ts';

const MiB = 1024 * 1024;
const LONGER_THAN_A_PUT_MS = 2600;
/**
 * The first part is sent alone; the next four are sent in parallel and end together. Then others have just started, and
 * the agent waits for the response of no stored part.
 */
const BETWEEN_PARTS = { parts: 1 + PARALLEL_PARTS };

describe('lines that are cut', { concurrency: 2 }, () => {
  test('for a second, both of them, cost no more than the parts in flight', async (t) => {
    await using stage = await Stage.start({ networkFaults: true, storeNetworkFaults: true });
    const pull = await pullUnderWay(stage, BETWEEN_PARTS);
    await cutAll(stage, 1000);
    const record = await assertPulled(stage, pull);
    const puts = await PartPuts.of(stage, record);
    const twice = puts.twice(pull);
    t.diagnostic(`${(twice / MiB).toFixed(1)} MiB of at most ${IN_FLIGHT_BYTES / MiB} received twice`);
    assert.ok(puts.all.length > puts.stored.length, 'it met parts in flight');
    assert.ok(twice <= IN_FLIGHT_BYTES);
    puts.assertEachStoredOnce(record);
  });

  test('for longer than URLs live are followed by fresh ones, for the missing parts alone', async (t) => {
    const lifeSeconds = 4;
    await using stage = await Stage.start({
      networkFaults: true,
      storeNetworkFaults: true,
      env: { PRESIGN_EXPIRY_SECONDS: String(lifeSeconds) },
    });
    const pull = await pullUnderWay(stage, BETWEEN_PARTS);
    const { cutAt, backAt } = await cutAll(stage, (lifeSeconds + 2) * 1000);
    const record = await assertPulled(stage, pull);
    const puts = await PartPuts.of(stage, record);
    puts.assertEachStoredOnce(record);
    const before = puts.storedBetween(0, cutAt).map(({ part_number: number }) => number);
    const after = puts.all.filter(({ started_at_ms: at }) => at > backAt);
    assert.ok(before.length >= 3 && after.length > 0);
    assert.ok(!after.some(({ part_number: number }) => before.includes(number)));
    const acts = putsThatFailed(pull.agent.output.stderr);
    assert.ok(acts.includes('retry'), 'PUTs failed meanwhile');
    assert.ok(!acts.includes('fresh_url'), 'and yet no URL was used when it was old');
    const asked = askedFor(pull.agent.output.stderr, backAt);
    for (const { part_number: number } of after) assert.ok(asked.has(number ?? 0), `part ${number}`);
    assert.ok(!before.some((number) => asked.has(number ?? 0)));
    t.diagnostic(`stored before: ${before.join(', ')}; URLs asked for after: ${[...asked].join(', ')}`);
    assert.ok(puts.twice(pull) <= IN_FLIGHT_BYTES);
  });

  test('under the WebSocket alone neither stop nor repeat a PUT, however often', async (t) => {
    await using stage = await Stage.start({ networkFaults: true });
    const pull = await pullUnderWay(stage, { sizeBytes: 160 * MiB });
    const { network } = stage;
    const moments: number[] = [];
    for (const act of ['cut', 'reset', 'cut'] as const) {
      const sessions = sessionsOf(pull.agent.output.stderr);
      moments.push(Date.now());
      network[act]();
      await pull.agent.line(() => sessionsOf(pull.agent.output.stderr) > sessions || undefined);
    }
    // This case is last because the agent waits longer after each failure.
    const awayAt = Date.now();
    moments.push(awayAt);
    network.refuse();
    network.reset();
    await sleep(LONGER_THAN_A_PUT_MS);
    const backAt = Date.now();
    await network.resume();
    const record = await assertPulled(stage, pull);
    assert.deepEqual([network.fired.cut, network.fired.reset], [2, 2]);
    const puts = await PartPuts.of(stage, record);
    puts.assertEachSentOnce(record);
    assert.equal(puts.twice(pull), 0);
    const met = moments.filter((moment) => puts.straddling(moment).length > 0);
    const stored = puts.storedBetween(awayAt, backAt);
    t.diagnostic(`${met.length} of 4 cuts met PUTs; ${stored.length} were stored during the last`);
    assert.ok(met.length >= 3);
    assert.ok(stored.length > 0);
  });

  test('have no part in it: a store that calls URLs expired is given fresh ones', async () => {
    const times = 3 * PARALLEL_PARTS;
    await using stage = await Stage.start({ faults: true });
    const expired = stage.faults.next({
      operation: 'UploadPart',
      skip: 2,
      times,
      fault: requestExpired(),
    });
    const pull = await pullUnderWay(stage);
    const record = await assertPulled(stage, pull);
    assert.equal(expired.firedCount, times);
    const acts = putsThatFailed(pull.agent.output.stderr);
    assert.deepEqual(
      acts,
      Array.from({ length: times }, () => 'fresh_url'),
    );
    const puts = await PartPuts.of(stage, record);
    puts.assertEachSentOnce(record);
    const refused = new Set(expired.calls.map(({ partNumber = 0 }) => partNumber));
    const asked = askedFor(pull.agent.output.stderr, 0);
    for (const number of refused) assert.ok(asked.has(number), `part ${number}`);
  });
});

/** Breaks the connections of both proxies and refuses new ones for this long. */
async function cutAll(
  { network, storeNetwork }: Stage,
  ms: number,
): Promise<{ cutAt: number; backAt: number }> {
  const cutAt = Date.now();
  for (const line of [network, storeNetwork]) {
    line.refuse();
    line.reset();
  }
  await sleep(ms);
  const backAt = Date.now();
  await Promise.all([network.resume(), storeNetwork.resume()]);
  assert.ok(network.fired.reset >= 1 && storeNetwork.fired.reset >= 1);
  assert.deepEqual([network.fired.refuse, storeNetwork.fired.refuse], [1, 1]);
  return { cutAt, backAt };
}

function linesOf(stderr: string, message: string): Array<Record<string, unknown>> {
  return stderr
    .split('\n')
    .map(logged(message))
    .filter((entry) => entry !== undefined);
}

function sessionsOf(stderr: string): number {
  return linesOf(stderr, 'connected').length;
}

function putsThatFailed(stderr: string): unknown[] {
  return linesOf(stderr, 'PUT failed').map(({ act }) => act);
}

/** Parts whose URLs the agent requested from the server. @param since Milliseconds since the epoch. */
function askedFor(stderr: string, since: number): Set<number> {
  const requests = linesOf(stderr, 'requested URLs').filter(({ time }) => Date.parse(String(time)) >= since);
  return new Set(requests.flatMap(({ parts }) => parts as number[]));
}
