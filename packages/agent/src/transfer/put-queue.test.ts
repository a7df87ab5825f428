import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { PartParallelism } from './part-parallelism.ts';
import { PutQueue } from './put-queue.ts';

const PART = 5 * 1024 * 1024;

/** A queue on a network that sends one part in 21 s. */
async function slowQueue(t: TestContext) {
  t.mock.timers.enable({ apis: ['setInterval'] });
  const clock = { now: 0 };
  const parallelism = new PartParallelism({ ceiling: 8, now: () => clock.now });
  const queue = new PutQueue(parallelism);
  const { signal } = new AbortController();
  await queue.run(
    PART,
    async (slot) => {
      parallelism.begin(slot);
      clock.now += 21_000;
      parallelism.stored(slot);
    },
    { signal },
  );
  const started: string[] = [];
  /** Running until `over` is called. */
  const put = (name: string, bytes = PART, stop = signal) => {
    const end = Promise.withResolvers<void>();
    const slot = Promise.withResolvers<Parameters<typeof parallelism.begin>[0]>();
    const ended = queue.run(
      bytes,
      async (own) => {
        parallelism.begin(own);
        started.push(name);
        slot.resolve(own);
        await end.promise;
      },
      { signal: stop },
    );
    const over = async (): Promise<void> => {
      end.resolve();
      await ended;
      await nextTurn();
    };
    return { slot: slot.promise, ended, over };
  };
  return { clock, parallelism, put, started };
}

test('waiting PUTs are admitted by order and size', async (t) => {
  const { put, started } = await slowQueue(t);
  const first = put('first');
  const file = put('small file', 1024);
  await nextTurn();
  assert.deepEqual(started, ['first', 'small file']);
  const impatient = new AbortController();
  const second = put('second', PART, impatient.signal);
  const third = put('third');
  const behind = put('behind', 1024);
  await file.over();
  assert.deepEqual(started, ['first', 'small file'], 'the slot of a small file does not admit a part');
  impatient.abort(new Error('no time'));
  await assert.rejects(second.ended, /no time/);
  await first.over();
  assert.deepEqual(started.slice(2), ['third', 'behind']);
  await third.over();
  await behind.over();
});

test('a PUT held back by its own upload makes its slot available to others before it ends', async (t) => {
  const { parallelism, put, started } = await slowQueue(t);
  const slow = put('held back');
  const other = put('other');
  parallelism.heldBack(await slow.slot, true);
  t.mock.timers.tick(1000);
  await nextTurn();
  assert.deepEqual(started, ['held back', 'other']);
  await other.over();
  await slow.over();
});
