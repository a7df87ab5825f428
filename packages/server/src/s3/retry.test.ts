import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DeadlineError, retrying, type RetryPolicy } from './retry.ts';

const policy: RetryPolicy = {
  maxAttempts: 3,
  attemptTimeoutMs: 1_000,
  deadlineMs: 5_000,
  baseDelayMs: 1,
  maxDelayMs: 2,
};
const isTransient = (error: unknown) => error instanceof Error && error.message === 'transient';

test('transient errors are retried, up to the given number of attempts', async () => {
  let attempts = 0;
  const call = retrying(policy, { isTransient }, async () => {
    attempts++;
    throw new Error('transient');
  });
  await assert.rejects(call, { message: 'transient' });
  assert.equal(attempts, 3);
});

test('success after a transient error is returned', async () => {
  let attempts = 0;
  const response = await retrying(policy, { isTransient }, async () => {
    if (++attempts < 3) throw new Error('transient');
    return 'done';
  });
  assert.equal(response, 'done');
});

test('permanent errors are not retried', async () => {
  let attempts = 0;
  const call = retrying(policy, { isTransient }, async () => {
    attempts++;
    throw new Error('permanent');
  });
  await assert.rejects(call, { message: 'permanent' });
  assert.equal(attempts, 1);
});

test('an attempt that ignores its signal ends at its timeout and is retried', async () => {
  let attempts = 0;
  const call = retrying({ ...policy, attemptTimeoutMs: 10 }, { isTransient }, async () => {
    attempts++;
    return new Promise<never>(() => undefined);
  });
  await assert.rejects(call, DeadlineError);
  assert.equal(attempts, 3);
});

test('no attempt starts after the overall deadline', async () => {
  let attempts = 0;
  const call = retrying(
    { ...policy, maxAttempts: 1_000, attemptTimeoutMs: 20, deadlineMs: 60 },
    { isTransient },
    async () => {
      attempts++;
      return new Promise<never>(() => undefined);
    },
  );
  await assert.rejects(call, DeadlineError);
  assert.ok(attempts >= 2 && attempts <= 5, `${attempts} attempts`);
});

test('the delay is random up to a ceiling that doubles', async () => {
  const waits: number[] = [];
  let last = performance.now();
  const ceilings = { ...policy, maxAttempts: 4, baseDelayMs: 40, maxDelayMs: 80 };
  const call = retrying(ceilings, { isTransient, random: () => 0.999 }, async () => {
    waits.push(performance.now() - last);
    last = performance.now();
    throw new Error('transient');
  });
  await assert.rejects(call);
  const [, first = 0, second = 0, third = 0] = waits;
  assert.ok(first >= 35 && second >= 75 && third >= 75, waits.join());

  let attempts = 0;
  const started = performance.now();
  await assert.rejects(
    retrying(
      { ...ceilings, baseDelayMs: 60_000, maxDelayMs: 60_000 },
      { isTransient, random: () => 0 },
      async () => {
        attempts++;
        throw new Error('transient');
      },
    ),
  );
  assert.equal(attempts, 4);
  assert.ok(performance.now() - started < 1_000);
});

test('an aborting caller gets its own reason, during and between attempts', async () => {
  for (const attempt of [
    async () => new Promise<never>(() => undefined),
    async () => Promise.reject(new Error('transient')),
  ]) {
    const controller = new AbortController();
    const slow = { ...policy, baseDelayMs: 10_000, maxDelayMs: 10_000, deadlineMs: 60_000 };
    const call = retrying(slow, { isTransient, signal: controller.signal, random: () => 0.5 }, attempt);
    setImmediate(() => controller.abort(new Error('enough')));
    await assert.rejects(call, { message: 'enough' });
  }
});
