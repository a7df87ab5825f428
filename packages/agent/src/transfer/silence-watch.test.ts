import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { test, type TestContext } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { queueKey } from '../platform/platform.ts';
import type { PutExchange } from './put-exchange.ts';
import { SilenceWatch } from './silence-watch.ts';

/** A PUT on a connection that is only described; the line calls it dead after ten seconds without progress. */
function watchedPut(t: TestContext) {
  t.mock.timers.enable({ apis: ['setInterval'] });
  const state = {
    now: 0,
    written: 0,
    queued: 0,
    heldBack: null as 'by_its_own' | 'by_all' | null,
    toldHeldBack: false,
    progressed: 0,
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
    progressed: () => void (state.progressed += 1),
    giveUp: ({ alone = false } = {}) => void (state.alone = alone),
  } as unknown as PutExchange;
  const watch = new SilenceWatch({
    exchange,
    put: { bytes: 5_242_880, begunAt: 0, partMs: 0, round: {}, heldBack: false },
    line: {
      hasFallenSilent: (_put, { silentSince }) => state.now - silentSince >= 10_000,
      heldBack: (_put, heldBack) => void (state.toldHeldBack = heldBack),
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

test('as long as the send queue shrinks, a PUT of which nothing is taken any more is not silent', async (t) => {
  const { state, watch, pass } = watchedPut(t);
  using _ = watch;
  Object.assign(state, { written: 5_242_880, queued: 4_000_000 });
  await pass(60, () => (state.queued -= 32_000));
  assert.equal(state.alone, null);
  assert.ok(state.progressed > 50, 'its waits begin anew each time');
});

test('one whose send queue stands still is given up, as the connection’s own fault', async (t) => {
  const { state, watch, pass } = watchedPut(t);
  using _ = watch;
  Object.assign(state, { written: 5_242_880, queued: 4_000_000 });
  await pass(20);
  assert.equal(state.alone, true);
});

test('a rate limit makes a PUT wait only while all that it sent has been acknowledged', async (t) => {
  const { state, watch, pass } = watchedPut(t);
  using _ = watch;
  Object.assign(state, { written: 1_000_000, heldBack: 'by_all' });
  await pass(60);
  assert.equal(state.alone, null);
  state.queued = 500_000;
  await pass(20);
  assert.equal(state.alone, true);
});

test('the line is told of a PUT that the limit of its upload holds back, unless its queue is what waits', async (t) => {
  const { state, watch, pass } = watchedPut(t);
  using _ = watch;
  Object.assign(state, { written: 1_000_000, heldBack: 'by_its_own' });
  await pass(6);
  assert.equal(state.toldHeldBack, true);
  state.queued = 500_000;
  await pass(2);
  assert.equal(state.toldHeldBack, false);
  Object.assign(state, { queued: 0, heldBack: 'by_all' });
  await pass(2);
  assert.equal(state.toldHeldBack, false, 'the owner’s limit is as good as a line');
});

test('one that is over while it is looked at is left alone', async (t) => {
  const { state, watch, pass } = watchedPut(t);
  await pass(12);
  const before = state.progressed;
  state.written = 1;
  state.now += 1000;
  t.mock.timers.tick(1000);
  watch[Symbol.dispose]();
  await nextTurn();
  assert.equal(state.progressed, before);
});
