import assert from 'node:assert/strict';
import type { FileHandle } from 'node:fs/promises';
import test from 'node:test';
import { setImmediate as turn, setTimeout as sleep } from 'node:timers/promises';
import { createLog } from '../log.ts';
import { linux } from '../platform/linux.ts';
import { mountFinder } from '../platform/mount-table.ts';
import { FileCallTimeout } from './file-error.ts';
import { FileGate } from './file-gate.ts';

const table = `1 0 8:1 / / rw - ext4 /dev/sda1 rw
2 1 0:50 / /dead rw - nfs4 server:/ rw
3 1 0:51 / /other\\040one rw - fuse.sshfs host: rw`;

interface Fixture {
  readonly gate: FileGate;
  readonly lines: Array<{ msg: string; mount?: string }>;
  /** Starts a call that hangs until `finish` is called. */
  readonly hang: (path: string) => { outcome: Promise<unknown>; finish: () => void };
  readonly started: string[];
}

function fixture({ timeoutMs = 20, poolThreads = 64, mounts = table } = {}): Fixture {
  const lines: Fixture['lines'] = [];
  const log = createLog({
    level: 'info',
    format: 'json',
    write: (line) => lines.push(JSON.parse(line) as Fixture['lines'][number]),
  });
  const platform = { ...linux, mountFinder: () => mountFinder(mounts) };
  const gate = new FileGate({ platform, log, poolThreads, timeoutMs });
  const started: string[] = [];
  return {
    gate,
    lines,
    started,
    hang: (path) => {
      const call = Promise.withResolvers<void>();
      const outcome = gate.run(path, () => {
        started.push(path);
        return call.promise;
      });
      outcome.catch(() => {});
      return { outcome, finish: call.resolve };
    },
  };
}

const succeed = () => Promise.resolve('result');

test('a hanging call times out, is counted, and is logged once for its mount', async () => {
  const { gate, hang, lines } = fixture();
  const [one, two] = [hang('/dead/a'), hang('/dead/b')];
  await assert.rejects(one.outcome, FileCallTimeout);
  await assert.rejects(two.outcome, FileCallTimeout);
  assert.deepEqual([gate.hangingCalls, gate.hangingMounts()], [2, ['/dead']]);
  assert.deepEqual(
    lines.map(({ mount }) => mount),
    ['/dead'],
  );
  one.finish();
  two.finish();
  await one.outcome.catch(() => {});
  await gate.run('/dead/a', succeed);
  assert.deepEqual([gate.hangingCalls, gate.hangingMounts()], [0, []]);
  assert.match(lines.at(-1)?.msg ?? '', /responding again/);
});

test('further calls to a hanging path fail immediately; other files on the disk still work', async () => {
  const { gate, hang } = fixture();
  const hanging = hang('/data/bad');
  await assert.rejects(hanging.outcome, FileCallTimeout);
  let called = false;
  const again = gate.run('/data/bad', () => {
    called = true;
    return succeed();
  });
  await assert.rejects(again, FileCallTimeout);
  assert.equal(called, false);
  assert.equal(await gate.run('/data/good', succeed), 'result');
  hanging.finish();
});

test('a dead mount never blocks the pool: calls elsewhere work, however many calls wait for the mount', async () => {
  const { gate, hang, started } = fixture({ timeoutMs: 100, poolThreads: 64 });
  const hanging = Array.from({ length: 200 }, (_, index) => hang(`/dead/${index}`));
  assert.equal(await gate.run('/other one/file', succeed), 'result');
  assert.equal(await gate.run('/data/file', succeed), 'result');
  await Promise.allSettled(hanging.map(({ outcome }) => outcome));
  assert.ok(started.length <= 16, `${started.length} calls hold a thread`);
  // Also a path that has not been used before.
  await assert.rejects(gate.run('/dead/new', succeed), FileCallTimeout);
  assert.equal(await gate.run('/data/file', succeed), 'result');
  for (const { finish } of hanging) finish();
});

test('dead mounts leave threads for name resolution and other mounts', async () => {
  const { gate, hang, started } = fixture({ poolThreads: 8 });
  const calls = ['/dead/a', '/dead/b', '/other one/a', '/other one/b'].flatMap((path) =>
    Array.from({ length: 3 }, () => hang(path)),
  );
  assert.equal(await gate.run('/data/file', succeed), 'result');
  await Promise.allSettled(calls.map(({ outcome }) => outcome));
  assert.ok(started.length >= 2 && started.length < 7, `${started.length} calls hang`);
  assert.equal(await gate.run('/data/file', succeed), 'result');
  for (const { finish } of calls) finish();
});

test('ten dead mounts, used all at once or one after the other, leave threads for a healthy one', async () => {
  const mounts = Array.from({ length: 10 }, (_, index) => `/nas${index}`);
  const lines = mounts.map((point, index) => `${index + 2} 1 0:${index + 50} / ${point} rw - nfs4 s:/ rw`);
  for (const atOnce of [true, false]) {
    const { gate, hang, started } = fixture({ mounts: `1 0 8:1 / / rw - ext4 x rw\n${lines.join('\n')}` });
    const hanging: Array<ReturnType<Fixture['hang']>> = [];
    for (const mount of mounts) {
      const calls = Array.from({ length: 20 }, (_, index) => hang(`${mount}/${index}`));
      hanging.push(...calls);
      if (!atOnce) await Promise.allSettled(calls.map(({ outcome }) => outcome));
    }
    const healthy = () => Promise.all(Array.from({ length: 8 }, () => gate.run('/data/file', succeed)));
    await healthy();
    await Promise.allSettled(hanging.map(({ outcome }) => outcome));
    assert.ok(started.length >= 20 && started.length < 56, `${started.length} calls hang`);
    await healthy();
    for (const { finish } of hanging) finish();
  }
});

test('hanging closes use at most the share of their file system, and calls to their file fail', async () => {
  const { gate } = fixture();
  const hanging = Promise.withResolvers<void>();
  let started = 0;
  const close = () => {
    started += 1;
    return hanging.promise;
  };
  const handle = { close } as unknown as FileHandle;
  for (let files = 0; files < 70; files += 1) void gate.close('/dead/one', handle);
  for (let files = 0; files < 70; files += 1) void gate.close(`/dead/${files}`, handle);
  assert.equal(await gate.run('/data/file', succeed), 'result');
  while (gate.hangingCalls < 16) await sleep(5);
  assert.equal(started, 16);
  await assert.rejects(gate.run('/dead/one', succeed), FileCallTimeout);
  assert.equal(await gate.run('/data/file', succeed), 'result');
  hanging.resolve();
  while (gate.calls > 0) await sleep(5);
  assert.equal(started, 140, 'the waiting descriptors are closed now');
  assert.equal(await gate.run('/dead/one', succeed), 'result');
});

test('a file stays readable while one close hangs, and fails once two closes hang', async () => {
  const { gate } = fixture();
  const hanging = Promise.withResolvers<void>();
  const handle = { close: () => hanging.promise } as unknown as FileHandle;
  void gate.close('/data/file', handle);
  while (gate.hangingCalls < 1) await sleep(5);
  assert.equal(await gate.run('/data/file', succeed), 'result');
  void gate.close('/data/file', handle);
  while (gate.hangingCalls < 2) await sleep(5);
  await assert.rejects(gate.run('/data/file', succeed), FileCallTimeout);
  assert.equal(await gate.run('/data/other', succeed), 'result');
  hanging.resolve();
  await turn();
  assert.equal(await gate.run('/data/file', succeed), 'result');
});

test('a hanging optional call does not block its path, and none is made if few slots are free', async () => {
  const { gate } = fixture();
  const hanging = Promise.withResolvers<void>();
  let started = 0;
  const optional = () =>
    gate.run(
      '/data/file',
      () => {
        started += 1;
        return hanging.promise;
      },
      { timeoutMs: 10, isOptional: true },
    );
  for (let calls = 0; calls < 5; calls += 1) await assert.rejects(optional(), FileCallTimeout);
  assert.equal(started, 2);
  while (gate.hangingCalls < 2) await sleep(5);
  assert.equal(await gate.run('/data/file', succeed), 'result');
  hanging.resolve();
});

test('a dead mount is probed again only after the previous probe has returned', async (t) => {
  const { gate, hang, started } = fixture();
  const first = hang('/dead/a');
  await assert.rejects(first.outcome, FileCallTimeout);
  let aheadMs = 0;
  const now = performance.now.bind(performance);
  t.mock.method(performance, 'now', () => now() + aheadMs);
  const probes = [first];
  for (let minutes = 0; minutes < 20; minutes += 1) {
    aheadMs += 61_000;
    const next = hang('/dead/a');
    probes.push(next);
    await assert.rejects(next.outcome, FileCallTimeout);
  }
  assert.equal(started.length, 2);
  for (const { finish } of probes) finish();
  await turn();
  assert.equal(await gate.run('/dead/a', succeed), 'result');
});

test(
  'an abort ends the wait immediately, and a late result is passed to onLate',
  { timeout: 10_000 },
  async () => {
    const { gate } = fixture({ timeoutMs: 60_000 });
    const call = Promise.withResolvers<string>();
    const stop = new AbortController();
    const late = Promise.withResolvers<string>();
    const started = Promise.withResolvers<void>();
    const open = () => {
      started.resolve();
      return call.promise;
    };
    const outcome = gate.run('/dead/x', open, { signal: stop.signal, onLate: late.resolve });
    await started.promise;
    stop.abort(new Error('cancelled'));
    await assert.rejects(outcome, { message: 'cancelled' });
    assert.equal(gate.calls, 1, 'its thread is still blocked');
    call.resolve('descriptor');
    assert.equal(await late.promise, 'descriptor');
  },
);

test('transient errors are retried, others are not', async () => {
  const { gate } = fixture({ timeoutMs: 60_000 });
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
      return await succeed();
    });
    if (expected === 1) await assert.rejects(done, { code });
    else assert.equal(await done, 'result');
    assert.equal(calls, expected, code);
  }
});

test('the mount of a path is its longest prefix, whatever characters it contains', () => {
  const find = mountFinder(table);
  assert.equal(find('/data/x').point, '/');
  assert.equal(find('/dead').point, '/dead');
  assert.equal(find('/deadly').point, '/');
  assert.equal(find('/other one/x/y').point, '/other one');
  assert.notEqual(mountFinder(table.replace('2 1', '9 1'))('/dead').key, find('/dead').key);
});
