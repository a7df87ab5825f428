import assert from 'node:assert/strict';
import type { FileHandle } from 'node:fs/promises';
import test from 'node:test';
import { setImmediate as turn, setTimeout as sleep } from 'node:timers/promises';
import { createLog } from '../log.ts';
import { linux } from '../platform/linux.ts';
import { mountFinder } from '../platform/mount-table.ts';
import { FileGate } from './file-gate.ts';
import { NoAnswer } from './no-answer.ts';

const table = `1 0 8:1 / / rw - ext4 /dev/sda1 rw
2 1 0:50 / /dead rw - nfs4 server:/ rw
3 1 0:51 / /other\\040one rw - fuse.sshfs host: rw`;

interface Bench {
  readonly gate: FileGate;
  readonly lines: Array<{ msg: string; mount?: string }>;
  /** A call that hangs until `comeBack`. */
  readonly hang: (place: string) => { given: Promise<unknown>; comeBack: () => void };
  readonly begun: string[];
}

function bench({ timeoutMs = 20, poolThreads = 64, mounts = table } = {}): Bench {
  const lines: Bench['lines'] = [];
  const log = createLog({
    level: 'info',
    format: 'json',
    write: (line) => lines.push(JSON.parse(line) as Bench['lines'][number]),
  });
  const platform = { ...linux, mountFinder: () => mountFinder(mounts) };
  const gate = new FileGate({ platform, log, poolThreads, timeoutMs });
  const begun: string[] = [];
  return {
    gate,
    lines,
    begun,
    hang: (place) => {
      const call = Promise.withResolvers<void>();
      const given = gate.run(place, () => {
        begun.push(place);
        return call.promise;
      });
      given.catch(() => {});
      return { given, comeBack: call.resolve };
    },
  };
}

const answer = () => Promise.resolve('answer');

test('a call that does not come back is given up, counted, and told once for its mount', async () => {
  const { gate, hang, lines } = bench();
  const [one, two] = [hang('/dead/a'), hang('/dead/b')];
  await assert.rejects(one.given, NoAnswer);
  await assert.rejects(two.given, NoAnswer);
  assert.deepEqual([gate.hangingCalls, gate.hangingMounts()], [2, ['/dead']]);
  assert.deepEqual(
    lines.map(({ mount }) => mount),
    ['/dead'],
  );
  one.comeBack();
  two.comeBack();
  await one.given.catch(() => {});
  await gate.run('/dead/a', answer);
  assert.deepEqual([gate.hangingCalls, gate.hangingMounts()], [0, []]);
  assert.match(lines.at(-1)?.msg ?? '', /answers again/);
});

test('the next call to a path that hangs is refused at once, and other files of the disk go on', async () => {
  const { gate, hang } = bench();
  const hanging = hang('/data/bad');
  await assert.rejects(hanging.given, NoAnswer);
  let called = false;
  const again = gate.run('/data/bad', () => {
    called = true;
    return answer();
  });
  await assert.rejects(again, NoAnswer);
  assert.equal(called, false);
  assert.equal(await gate.run('/data/good', answer), 'answer');
  hanging.comeBack();
});

test('a dead mount never takes the pool: calls elsewhere are made, however many wait for it', async () => {
  const { gate, hang, begun } = bench({ timeoutMs: 100, poolThreads: 64 });
  const hanging = Array.from({ length: 200 }, (_, index) => hang(`/dead/${index}`));
  assert.equal(await gate.run('/other one/file', answer), 'answer');
  assert.equal(await gate.run('/data/file', answer), 'answer');
  await Promise.allSettled(hanging.map(({ given }) => given));
  assert.ok(begun.length <= 16, `${begun.length} calls hold a thread`);
  // Also a path that has not been asked for yet.
  await assert.rejects(gate.run('/dead/new', answer), NoAnswer);
  assert.equal(await gate.run('/data/file', answer), 'answer');
  for (const { comeBack } of hanging) comeBack();
});

test('dead mounts leave threads to name resolution and to other mounts', async () => {
  const { gate, hang, begun } = bench({ poolThreads: 8 });
  const calls = ['/dead/a', '/dead/b', '/other one/a', '/other one/b'].flatMap((place) =>
    Array.from({ length: 3 }, () => hang(place)),
  );
  assert.equal(await gate.run('/data/file', answer), 'answer');
  await Promise.allSettled(calls.map(({ given }) => given));
  assert.ok(begun.length >= 2 && begun.length < 7, `${begun.length} calls hang`);
  assert.equal(await gate.run('/data/file', answer), 'answer');
  for (const { comeBack } of calls) comeBack();
});

test('ten dead mounts, asked for all at once or one after the other, leave a healthy one its share', async () => {
  const mounts = Array.from({ length: 10 }, (_, index) => `/nas${index}`);
  const lines = mounts.map((point, index) => `${index + 2} 1 0:${index + 50} / ${point} rw - nfs4 s:/ rw`);
  for (const atOnce of [true, false]) {
    const { gate, hang, begun } = bench({ mounts: `1 0 8:1 / / rw - ext4 x rw\n${lines.join('\n')}` });
    const hanging: Array<ReturnType<Bench['hang']>> = [];
    for (const mount of mounts) {
      const calls = Array.from({ length: 20 }, (_, index) => hang(`${mount}/${index}`));
      hanging.push(...calls);
      if (!atOnce) await Promise.allSettled(calls.map(({ given }) => given));
    }
    const healthy = () => Promise.all(Array.from({ length: 8 }, () => gate.run('/data/file', answer)));
    await healthy();
    await Promise.allSettled(hanging.map(({ given }) => given));
    assert.ok(begun.length >= 20 && begun.length < 56, `${begun.length} calls hang`);
    await healthy();
    for (const { comeBack } of hanging) comeBack();
  }
});

test('closes that hang take no more than their file system may, and their file is refused', async () => {
  const { gate } = bench();
  const hanging = Promise.withResolvers<void>();
  let begun = 0;
  const close = () => {
    begun += 1;
    return hanging.promise;
  };
  const handle = { close } as unknown as FileHandle;
  for (let files = 0; files < 70; files += 1) void gate.close('/dead/one', handle);
  for (let files = 0; files < 70; files += 1) void gate.close(`/dead/${files}`, handle);
  assert.equal(await gate.run('/data/file', answer), 'answer');
  while (gate.hangingCalls < 16) await sleep(5);
  assert.equal(begun, 16);
  await assert.rejects(gate.run('/dead/one', answer), NoAnswer);
  assert.equal(await gate.run('/data/file', answer), 'answer');
  hanging.resolve();
  while (gate.calls > 0) await sleep(5);
  assert.equal(begun, 140, 'those that waited are closed now');
  assert.equal(await gate.run('/dead/one', answer), 'answer');
});

test('a file that is read although its close hangs is refused once two of its closes hang', async () => {
  const { gate } = bench();
  const hanging = Promise.withResolvers<void>();
  const handle = { close: () => hanging.promise } as unknown as FileHandle;
  void gate.close('/data/file', handle);
  while (gate.hangingCalls < 1) await sleep(5);
  assert.equal(await gate.run('/data/file', answer), 'answer');
  void gate.close('/data/file', handle);
  while (gate.hangingCalls < 2) await sleep(5);
  await assert.rejects(gate.run('/data/file', answer), NoAnswer);
  assert.equal(await gate.run('/data/other', answer), 'answer');
  hanging.resolve();
  await turn();
  assert.equal(await gate.run('/data/file', answer), 'answer');
});

test('an optional call that hangs leaves its path to others, and is not made where there is little room', async () => {
  const { gate } = bench();
  const hanging = Promise.withResolvers<void>();
  let begun = 0;
  const optional = () =>
    gate.run(
      '/data/file',
      () => {
        begun += 1;
        return hanging.promise;
      },
      { timeoutMs: 10, isOptional: true },
    );
  for (let calls = 0; calls < 5; calls += 1) await assert.rejects(optional(), NoAnswer);
  assert.equal(begun, 2);
  while (gate.hangingCalls < 2) await sleep(5);
  assert.equal(await gate.run('/data/file', answer), 'answer');
  hanging.resolve();
});

test('a dead mount is tried again only when the try before has come back', async (t) => {
  const { gate, hang, begun } = bench();
  const first = hang('/dead/a');
  await assert.rejects(first.given, NoAnswer);
  let aheadMs = 0;
  const now = performance.now.bind(performance);
  t.mock.method(performance, 'now', () => now() + aheadMs);
  const tries = [first];
  for (let minutes = 0; minutes < 20; minutes += 1) {
    aheadMs += 61_000;
    const next = hang('/dead/a');
    tries.push(next);
    await assert.rejects(next.given, NoAnswer);
  }
  assert.equal(begun.length, 2);
  for (const { comeBack } of tries) comeBack();
  await turn();
  assert.equal(await gate.run('/dead/a', answer), 'answer');
});

test(
  'an abort ends the wait at once, and what the call opens later is handed over',
  { timeout: 10_000 },
  async () => {
    const { gate } = bench({ timeoutMs: 60_000 });
    const call = Promise.withResolvers<string>();
    const stop = new AbortController();
    const late = Promise.withResolvers<string>();
    const begun = Promise.withResolvers<void>();
    const open = () => {
      begun.resolve();
      return call.promise;
    };
    const given = gate.run('/dead/x', open, { signal: stop.signal, late: late.resolve });
    await begun.promise;
    stop.abort(new Error('cancelled'));
    await assert.rejects(given, { message: 'cancelled' });
    assert.equal(gate.calls, 1, 'its thread is still held');
    call.resolve('descriptor');
    assert.equal(await late.promise, 'descriptor');
  },
);

test('an error that may pass is tried again, another one is not', async () => {
  const { gate } = bench({ timeoutMs: 60_000 });
  for (const [code, expected] of [
    ['EIO', 2],
    ['EMFILE', 2],
    ['ESTALE', 1],
    ['ENOENT', 1],
  ] as const) {
    let calls = 0;
    const done = gate.run('/data/x', async () => {
      calls += 1;
      if (calls === 1) throw Object.assign(new Error(code), { code });
      return await answer();
    });
    if (expected === 1) await assert.rejects(done, { code });
    else assert.equal(await done, 'answer');
    assert.equal(calls, expected, code);
  }
});

test('the mount of a path is the longest prefix, whatever characters it has', () => {
  const find = mountFinder(table);
  assert.equal(find('/data/x').point, '/');
  assert.equal(find('/dead').point, '/dead');
  assert.equal(find('/deadly').point, '/');
  assert.equal(find('/other one/x/y').point, '/other one');
  assert.notEqual(mountFinder(table.replace('2 1', '9 1'))('/dead').key, find('/dead').key);
});
