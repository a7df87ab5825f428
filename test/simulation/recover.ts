import assert from 'node:assert/strict';
import { isTerminal } from '@backhaul/protocol';
import { checkInvariants } from './invariants.ts';
import { HOUR_MS, RETENTION_MS } from './server/simulated-server.ts';
import type { Simulation } from './simulation.ts';
import { runToIdle, runEvents } from './simulation-events.ts';

/** Delays grow to ten minutes at most. */
const STRIDES_MS = [...Array<number>(20).fill(30_000), ...Array<number>(24).fill(10 * 60_000)];

/** No correct agent causes these errors. */
const impossible = new Set(['protocol_error', 'plan_mismatch', 'internal_error', 'file_not_found']);

/**
 * Ends all faults, except those already in flight. Some hours later each upload must have ended, and nothing may be
 * left over.
 */
export async function recover(simulation: Simulation): Promise<void> {
  const { requests } = simulation.s3;
  requests.isDown = false;
  requests.isSlow = false;
  simulation.server?.gate.cancelKill();
  // The server may be crashing.
  await simulation.idle();
  if (simulation.server === undefined) await simulation.startServer();
  await runEvents(simulation, 60);
  for (const [stride, strideMs] of STRIDES_MS.entries()) {
    await runToIdle(simulation);
    await checkInvariants(simulation);
    if (isQuiet(simulation)) break;
    if (stride > 1) expectNoDeadlock(simulation);
    await simulation.pass(strideMs);
  }
  for (const row of simulation.operators.uploads) {
    assert.ok(isTerminal(row.status), `${row.uploadId} does not end: ${JSON.stringify(row)}`);
    assert.ok(
      row.error === null || !impossible.has(row.error),
      `ended without a valid reason: ${JSON.stringify(row)}`,
    );
  }
  assert.equal(simulation.operators.waiting.size, 0, 'an operator never got a response');
  await expectNothingLeft(simulation);
}

/** Once everything has arrived, an upload waits for time only: in the queue, or for the next call to the store. */
function expectNoDeadlock({ operators }: Simulation): void {
  const stuck = operators.uploads.filter(({ status }) => status === 'preparing' || status === 'uploading');
  assert.deepEqual(stuck, [], 'server and agent wait for each other');
}

/** The sweep for orphans runs once an hour, with a grace period of another hour. */
async function expectNothingLeft(simulation: Simulation): Promise<void> {
  const { uploads, leftovers } = simulation.s3.state;
  for (let sweeps = 0; sweeps < 3; sweeps += 1) {
    await simulation.pass(HOUR_MS);
    await runToIdle(simulation);
  }
  await checkInvariants(simulation);
  // A server may not touch uploads that it has no row for.
  const left = [...uploads.values(), ...leftovers.values()].filter(
    ({ key }) => !simulation.operators.isOfRemoved(key),
  );
  assert.deepEqual(left, [], 'a multipart upload is left over');
  assert.deepEqual(strayObjects(simulation), [], 'an object of an incomplete upload is left over');
  const ended = simulation.operators.uploads.length;
  simulation.time.pass(RETENTION_MS);
  void simulation.server?.domain.sweeper.sweep();
  await runToIdle(simulation);
  assert.deepEqual(simulation.operators.uploads, [], 'rows outlive their retention');
  if (ended > 0) simulation.coverage.count('removed after its retention');
}

/** No abort prevents a killed server's PutObject of an empty file from landing late. */
function strayObjects({ s3, operators }: Simulation): string[] {
  const completed = new Set(
    operators.uploads.filter(({ status }) => status === 'completed').map(({ objectToken }) => objectToken),
  );
  return [...s3.state.objects]
    .filter(([, { content }]) => content.length > 0)
    .filter(([key, { token }]) => token !== null && !completed.has(token) && !operators.isOfRemoved(key))
    .map(([key]) => key);
}

function isQuiet(simulation: Simulation): boolean {
  const { uploads, leftovers } = simulation.s3.state;
  return (
    simulation.operators.uploads.every(({ status, multipartOpen }) => isTerminal(status) && !multipartOpen) &&
    simulation.operators.waiting.size === 0 &&
    uploads.size === 0 &&
    leftovers.size === 0
  );
}
