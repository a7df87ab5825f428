import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { test, type TestContext } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { queueKey } from '../platform/platform.ts';
import type { PutExchange } from './put-exchange.ts';
import { ResponseTimeout, SilenceWatch } from './put-timeouts.ts';

test('the timeout doubles with each missing response, up to its maximum', () => {
  const responseTimeout = new ResponseTimeout({ firstMs: 45, maxMs: 100 });
  assert.equal(responseTimeout.ms, 45);
  responseTimeout.increase(45);
  assert.equal(responseTimeout.ms, 90);
  responseTimeout.increase(90);
  assert.equal(responseTimeout.ms, 100);
});

test('several PUTs that expire together double it once', () => {
  const responseTimeout = new ResponseTimeout({ firstMs: 45, maxMs: 1000 });
  for (let put = 0; put < 4; put += 1) responseTimeout.increase(45);
  assert.equal(responseTimeout.ms, 90);
});

test('fast responses after an outage reduce it to the initial value, not below', () => {
  const responseTimeout = new ResponseTimeout({ firstMs: 45, maxMs: 1000 });
  for (const waitedMs of [45, 90, 180]) responseTimeout.increase(waitedMs);
  assert.equal(responseTimeout.ms, 360);
  for (const expectedMs of [180, 90, 45, 45]) {
    responseTimeout.observe(1);
    assert.equal(responseTimeout.ms, expectedMs);
  }
});

test('responses on a slow network keep it long', () => {
  const responseTimeout = new ResponseTimeout({ firstMs: 45, maxMs: 1000 });
  responseTimeout.increase(45);
  for (let count = 0; count < 9; count += 1) responseTimeout.observe(80);
  assert.equal(responseTimeout.ms, 160);
  responseTimeout.observe(800);
  assert.equal(responseTimeout.ms, 1000);
});

/** A PUT on a simulated connection, which counts as dead after ten seconds without progress. */
function watchedPut(t: TestContext) {
  t.mock.timers.enable({ apis: ['setInterval'] });
  const state = {
    now: 0,
    written: 0,
    queued: 0,
    heldBack: null as 'by_its_own' | 'by_all' | null,
    heldBackReported: false,
    restarts: 0,
    alone: null as boolean | null,
  };
  const exchange = {
    get socket() {
      const ports = { localPort: 40_000, remotePort: 443 };
      return { ...ports, bytesWritten: state.written, writableLength: 0 } as unknown as Socket;
    },
    get heldBack() {
      return state.heldBack;
    },
    restartTimeouts: () => void (state.restarts += 1),
    timeOut: ({ alone = false } = {}) => void (state.alone = alone),
  } as unknown as PutExchange;
  const watch = new SilenceWatch({
    exchange,
    put: { bytes: 5_242_880, startedAt: 0, partMs: 0, round: {}, heldBack: false },
    parallelism: {
      hasFallenSilent: (_put, { silentSince }) => state.now - silentSince >= 10_000,
      heldBack: (_put, heldBack) => void (state.heldBackReported = heldBack),
    },
    tries: 0,
    sendQueues: () => Promise.resolve(new Map([[queueKey(40_000, 443), state.queued]])),
    now: () => state.now,
  });
  const pass = async (seconds: number, change: () => void = () => undefined): Promise<void> => {
    for (let second = 0; second < seconds; second += 1) {
      change();
      state.now += 1000;
      t.mock.timers.tick(1000);
      await nextTurn();
    }
  };
  return { state, watch, pass };
}

test('a PUT is not silent while its send queue shrinks, even if the kernel takes no more bytes', async (t) => {
  const { state, watch, pass } = watchedPut(t);
  using _ = watch;
  Object.assign(state, { written: 5_242_880, queued: 4_000_000 });
  await pass(60, () => (state.queued -= 32_000));
  assert.equal(state.alone, null);
  assert.ok(state.restarts > 50, 'its timeouts restart each time');
});

test('a PUT whose send queue does not shrink is aborted as a problem of its connection', async (t) => {
  const { state, watch, pass } = watchedPut(t);
  using _ = watch;
  Object.assign(state, { written: 5_242_880, queued: 4_000_000 });
  await pass(20);
  assert.equal(state.alone, true);
});

test('a PUT held back by a rate limit is silent if sent bytes are unacknowledged', async (t) => {
  const { state, watch, pass } = watchedPut(t);
  using _ = watch;
  Object.assign(state, { written: 1_000_000, heldBack: 'by_all' });
  await pass(60);
  assert.equal(state.alone, null);
  state.queued = 500_000;
  await pass(20);
  assert.equal(state.alone, true);
});

test('a PUT held back by its upload’s limit is reported as such, unless its send queue is not empty', async (t) => {
  const { state, watch, pass } = watchedPut(t);
  using _ = watch;
  Object.assign(state, { written: 1_000_000, heldBack: 'by_its_own' });
  await pass(6);
  assert.equal(state.heldBackReported, true);
  state.queued = 500_000;
  await pass(2);
  assert.equal(state.heldBackReported, false);
  Object.assign(state, { queued: 0, heldBack: 'by_all' });
  await pass(2);
  assert.equal(state.heldBackReported, false, 'the owner’s limit is treated like the network');
});

test('a PUT that ends during the check is ignored', async (t) => {
  const { state, watch, pass } = watchedPut(t);
  await pass(12);
  const before = state.restarts;
  state.written = 1;
  state.now += 1000;
  t.mock.timers.tick(1000);
  watch[Symbol.dispose]();
  await nextTurn();
  assert.equal(state.restarts, before);
});
