import assert from 'node:assert/strict';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { AgentFixture, MiB, prepareMessage } from '../../../../test/harness/agent/agent-fixture.ts';
import { within } from '../../../../test/doubles/fake-server.ts';
import { RateLimit, ReadPace } from './rate-limit.ts';

const signal = AbortSignal.timeout(10_000);

test('bytes are spread over time, for all callers together', async () => {
  const started = performance.now();
  const limit = new RateLimit(100_000, { now: () => performance.now() });
  await Promise.all(Array.from({ length: 40 }, () => limit.take(1000, { signal })));
  const ms = performance.now() - started;
  assert.ok(ms > 250 && ms < 1000, `40,000 bytes at 100,000/s took ${ms} ms; 100 ms are burst`);
});

test('unused time does not accumulate', async () => {
  let now = 0;
  const limit = new RateLimit(1000, { now: () => now });
  await limit.take(100, { signal });
  now = 1e9;
  const stop = new AbortController();
  const large = limit.take(10_000, { signal: stop.signal });
  stop.abort();
  await assert.rejects(large, { name: 'AbortError' });
});

test('slices are small at a low rate, so that connections alternate', () => {
  const sliceAt = (rate: number) => new RateLimit(rate, { now: () => 0 }).sliceBytes;
  assert.equal(sliceAt(1024), 1024);
  assert.equal(sliceAt(100_000), 5000);
  assert.equal(sliceAt(1e9), 65_536);
});

test('the lower of two limits applies, and the shared one is shared', async () => {
  const now = () => performance.now();
  const owner = new RateLimit(100_000, { now });
  const [slow, fast] = [
    new RateLimit(20_000, { now, parent: owner }),
    new RateLimit(1e9, { now, parent: owner }),
  ];
  assert.equal(slow.bytesPerSecond, 20_000);
  assert.equal(fast.bytesPerSecond, 100_000);
  const started = performance.now();
  const [slowMs] = await Promise.all([
    slow.take(10_000, { signal }).then(() => performance.now() - started),
    ...Array.from({ length: 40 }, () => fast.take(1000, { signal })),
  ]);
  assert.ok(slowMs > 350, `10,000 bytes at 20,000/s took ${slowMs} ms; 100 ms are burst`);
  const ms = performance.now() - started;
  assert.ok(ms > 300 && ms < 1500, `50,000 bytes at 100,000/s took ${ms} ms`);
});

test('a limit that is currently off delays no caller', async () => {
  const limit = new RateLimit(() => null, { now: () => 0 });
  assert.equal(limit.bytesPerSecond, null);
  assert.equal(limit.worstCaseMs(1e9, 32), 0);
  await limit.take(1e12, { signal });
});

async function isTaken(pace: ReadPace, bytes: number): Promise<boolean> {
  const stop = new AbortController();
  const taken = pace.take(bytes, { signal: stop.signal }).then(
    () => true,
    () => false,
  );
  // Calls without a delay have resolved by then.
  await Promise.resolve().then(() => stop.abort());
  return taken;
}

test('a window is read immediately, then reading is limited to the send rate', async () => {
  let now = 0;
  const pace = new ReadPace(() => 1024, { firstParts: 0, now: () => now });
  for (let part = 0; part < 12; part += 1) assert.ok(await isTaken(pace, 5 * MiB), `part ${part}`);
  assert.ok(await isTaken(pace, 5 * MiB), 'the one that goes beyond the window');
  assert.ok(!(await isTaken(pace, 5 * MiB)));
  now += (MiB / 1024) * 1000 + 1;
  assert.ok(await isTaken(pace, 5 * MiB), 'once the debt of a MiB is paid');
  assert.ok(!(await isTaken(pace, 5 * MiB)));
});

test('the first parts are read immediately, and later ones wait longer', async () => {
  let now = 0;
  const pace = new ReadPace(() => MiB, { firstParts: 2, now: () => now });
  for (let part = 0; part < 2; part += 1) assert.ok(await isTaken(pace, 1024 * MiB), `part ${part}`);
  assert.ok(!(await isTaken(pace, MiB)));
  now += (2 * 1024 - 64) * 1000;
  assert.ok(await isTaken(pace, MiB));
});

test('a huge file with a low --max-rate does not delay other uploads', { timeout: 120_000 }, async () => {
  await using fixture = await AgentFixture.start({ config: { maxRate: () => 1024 } });
  const huge = join(fixture.directory, 'huge');
  await using handle = await open(huge, 'w');
  await handle.truncate(1024 * MiB);
  const { path: small } = await fixture.file('small', 1000);
  const session = await fixture.server.acceptAndWelcome();
  const request = prepareMessage(huge, { minChunkSize: 40 * MiB });
  session.send(request);
  const prepared = await within(60_000, 'prepared of the huge file', session.next('prepared'));
  assert.equal(prepared.parts.length, 4, 'more than the 64 MiB that are read ahead');
  session.send(prepareMessage(small));
  assert.equal((await within(20_000, 'prepared of the small file', session.next('prepared'))).size, 1000);
  const { upload_id } = request;
  session.send({ action: 'cancel_upload', upload_id, attempt: 1, reason: 'enough' });
  session.send(prepareMessage(huge, { minChunkSize: 40 * MiB }));
  await within(60_000, 'prepared after a cancel', session.next('prepared'));
});
