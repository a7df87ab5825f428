import assert from 'node:assert/strict';
import { isTerminal } from '@backhaul/protocol';
import { checkInvariants } from './invariants.ts';
import { HOUR_MS, RETENTION_MS } from './server/simulated-server.ts';
import type { World } from './world.ts';
import { comeToRest, letHappen } from './world-events.ts';

/** Waits grow to ten minutes at most. */
const STRIDES_MS = [...Array<number>(20).fill(30_000), ...Array<number>(24).fill(10 * 60_000)];

/** No honest agent brings a server to these. */
const impossible = new Set(['protocol_error', 'plan_mismatch', 'internal_error', 'file_not_found']);

/** Everything works again, but for what was sent, or meant to fail once, before. Some hours later each upload must have ended, and nothing may be left over. */
export async function heal(world: World): Promise<void> {
  const { requests } = world.s3;
  requests.isDown = false;
  requests.isSlow = false;
  world.server?.gate.unlight();
  // It may be dying.
  await world.settle();
  if (world.server === undefined) await world.startServer();
  await letHappen(world, 60);
  for (const [stride, strideMs] of STRIDES_MS.entries()) {
    await comeToRest(world);
    await checkInvariants(world);
    if (isQuiet(world)) break;
    if (stride > 1) expectNobodyWaits(world);
    await world.pass(strideMs);
  }
  for (const row of world.desk.uploads) {
    assert.ok(isTerminal(row.status), `${row.uploadId} does not end: ${JSON.stringify(row)}`);
    assert.ok(
      row.error === null || !impossible.has(row.error),
      `ended for no good reason: ${JSON.stringify(row)}`,
    );
  }
  assert.equal(world.desk.waiting.size, 0, 'an operator never got an answer');
  await expectNothingLeft(world);
}

/** Where everything has arrived, one waits for time at most: in the queue, or to ask the store again. */
function expectNobodyWaits({ desk }: World): void {
  const stuck = desk.uploads.filter(({ status }) => status === 'preparing' || status === 'uploading');
  assert.deepEqual(stuck, [], 'server and agent wait for each other');
}

/** Orphans are looked for once an hour, and have a grace of another. */
async function expectNothingLeft(world: World): Promise<void> {
  const { uploads, leftovers } = world.s3.state;
  for (let looks = 0; looks < 3; looks += 1) {
    await world.pass(HOUR_MS);
    await comeToRest(world);
  }
  await checkInvariants(world);
  // A server may not touch what no row of its own tells it about.
  const left = [...uploads.values(), ...leftovers.values()].filter(({ key }) => !world.desk.isOfRemoved(key));
  assert.deepEqual(left, [], 'a multipart upload is left over');
  assert.deepEqual(strayObjects(world), [], 'an object of an upload that did not complete is left over');
  const ended = world.desk.uploads.length;
  world.time.pass(RETENTION_MS);
  void world.server?.domain.sweeper.sweep();
  await comeToRest(world);
  assert.deepEqual(world.desk.uploads, [], 'rows outlive their retention');
  if (ended > 0) world.tally.count('forgotten after its retention');
}

/** No abort keeps a PutObject of an empty file, of a server that was killed, from landing late. */
function strayObjects({ s3, desk }: World): string[] {
  const completed = new Set(
    desk.uploads.filter(({ status }) => status === 'completed').map(({ objectToken }) => objectToken),
  );
  return [...s3.state.objects]
    .filter(([, { content }]) => content.length > 0)
    .filter(([key, { token }]) => token !== null && !completed.has(token) && !desk.isOfRemoved(key))
    .map(([key]) => key);
}

function isQuiet(world: World): boolean {
  const { uploads, leftovers } = world.s3.state;
  return (
    world.desk.uploads.every(({ status, multipartOpen }) => isTerminal(status) && !multipartOpen) &&
    world.desk.waiting.size === 0 &&
    uploads.size === 0 &&
    leftovers.size === 0
  );
}
