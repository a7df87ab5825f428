import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { KeyedLock, Semaphore } from './concurrency.ts';

test('tasks of one key run sequentially, in the order of the calls', async () => {
  const lock = new KeyedLock();
  const log: string[] = [];
  const task = (name: string) => async (): Promise<void> => {
    log.push(`${name} begins`);
    await nextTurn();
    log.push(`${name} ends`);
  };
  await Promise.all([lock.run('k', task('a')), lock.run('k', task('b')), lock.run('k', task('c'))]);
  assert.deepEqual(log, ['a begins', 'a ends', 'b begins', 'b ends', 'c begins', 'c ends']);
});

test('tasks of different keys run at the same time', async () => {
  const lock = new KeyedLock();
  const first = Promise.withResolvers<void>();
  const waiting = lock.run('a', () => first.promise);
  await lock.run('b', async () => first.resolve());
  await waiting;
});

test('a failed task rejects its caller, and the next one runs', async () => {
  const lock = new KeyedLock();
  const failing = lock.run('k', () => Promise.reject(new Error('broken')));
  const next = lock.run('k', async () => 'fine');
  await assert.rejects(failing, /broken/);
  assert.equal(await next, 'fine');
});

test('a task that arrives as the last one ends waits for it', async () => {
  const lock = new KeyedLock();
  let running = 0;
  const alone = async (): Promise<void> => {
    running += 1;
    assert.equal(running, 1);
    await nextTurn();
    running -= 1;
  };
  // Arrives at every depth of microtasks around the end of the previous task.
  for (let depth = 0; depth < 10; depth += 1) {
    const first = lock.run('k', alone);
    const second = first.then(async () => {
      for (let tick = 0; tick < depth; tick += 1) await Promise.resolve();
      return lock.run('k', alone);
    });
    await Promise.all([first, second, lock.run('k', alone)]);
  }
});

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
