import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { Semaphore } from './semaphore.ts';

test('at most as many tasks run at once as there are slots, in the order of the calls', async () => {
  const semaphore = new Semaphore(2);
  const gates = Array.from({ length: 4 }, () => Promise.withResolvers<void>());
  const started: number[] = [];
  const runs = gates.map((gate, index) =>
    semaphore.run(async () => {
      started.push(index);
      await gate.promise;
      return index;
    }),
  );
  await nextTurn();
  assert.deepEqual(started, [0, 1]);
  gates[1]?.resolve();
  await nextTurn();
  assert.deepEqual(started, [0, 1, 2]);
  for (const gate of gates) gate.resolve();
  assert.deepEqual(await Promise.all(runs), [0, 1, 2, 3]);
});

test('a failed task releases its slot', async () => {
  const semaphore = new Semaphore(1);
  for (let times = 0; times < 2; times += 1) {
    await assert.rejects(
      semaphore.run(() => Promise.reject(new Error('no'))),
      /no/,
    );
  }
  assert.equal(await semaphore.run(async () => 'yes'), 'yes');
});
