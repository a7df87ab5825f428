import assert from 'node:assert/strict';
import { test, type TestContext } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { PartParallelism } from './part-parallelism.ts';
import { PutQueue } from './put-queue.ts';

const PART = 5 * 1024 * 1024;

/** A queue before a line that is known to carry one part in 21 s. */
async function slowLine(t: TestContext) {
  t.mock.timers.enable({ apis: ['setInterval'] });
  const clock = { now: 0 };
  const line = new PartParallelism({ ceiling: 8, now: () => clock.now });
  const queue = new PutQueue(line);
  const { signal } = new AbortController();
  await queue.run(
    PART,
    async (place) => {
      line.begin(place);
      clock.now += 21_000;
      line.stored(place);
    },
    { signal },
  );
  const begun: string[] = [];
  /** On its way until `over` is called. */
  const put = (name: string, bytes = PART, stop = signal) => {
    const end = Promise.withResolvers<void>();
    const place = Promise.withResolvers<Parameters<typeof line.begin>[0]>();
    const ended = queue.run(
      bytes,
      async (own) => {
        line.begin(own);
        begun.push(name);
        place.resolve(own);
        await end.promise;
      },
      { signal: stop },
    );
    const over = async (): Promise<void> => {
      end.resolve();
      await ended;
      await nextTurn();
    };
    return { place: place.promise, ended, over };
  };
  return { clock, line, put, begun };
}

test('PUTs that wait for the line are let in by their order and their size', async (t) => {
  const { put, begun } = await slowLine(t);
  const first = put('first');
  const file = put('small file', 1024);
  await nextTurn();
  assert.deepEqual(begun, ['first', 'small file']);
  const impatient = new AbortController();
  const second = put('second', PART, impatient.signal);
  const third = put('third');
  const behind = put('behind', 1024);
  await file.over();
  assert.deepEqual(begun, ['first', 'small file'], 'the place of a small file is not one for a part');
  impatient.abort(new Error('no time'));
  await assert.rejects(second.ended, /no time/);
  await first.over();
  assert.deepEqual(begun.slice(2), ['third', 'behind']);
  await third.over();
  await behind.over();
});

test('a PUT that its own upload holds back gives its place to others, though nothing has ended', async (t) => {
  const { line, put, begun } = await slowLine(t);
  const slow = put('held back');
  const other = put('other');
  line.heldBack(await slow.place, true);
  t.mock.timers.tick(1000);
  await nextTurn();
  assert.deepEqual(begun, ['held back', 'other']);
  await other.over();
  await slow.over();
});
