import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeBus } from './domain/fakes/fake-bus.ts';
import type { Store } from './domain/ports/store.ts';
import { createReadiness } from './readiness.ts';
import { FakeS3, quickTiming } from './s3/fake-s3.ts';
import { S3Bucket } from './s3/s3-bucket.ts';

const store = { ping: async () => undefined } as unknown as Store;

test('an object store that takes a request and says nothing is not waited for', async () => {
  await using fake = await FakeS3.start();
  const asked = Promise.withResolvers<void>();
  fake.intercept = () => {
    asked.resolve();
    return true;
  };
  const timing = {
    ...quickTiming,
    calls: { ...quickTiming.calls, attemptTimeoutMs: 60_000, deadlineMs: 60_000 },
  };
  await using bucket = new S3Bucket(fake.settings(), { timing });
  const readiness = createReadiness({ store, bus: new FakeBus(), bucket, s3AnswerMs: 50 });
  const since = performance.now();
  const answer = await readiness();
  assert.ok(performance.now() - since < 10_000);
  // The probe goes on; only the wait for it has ended.
  await asked.promise;
  assert.equal(answer.ready, false);
  assert.deepEqual(answer.checks['s3'], { ok: false, detail: 'no answer within 50 ms' });
  assert.equal(answer.checks['store']?.ok, true);
});

test('an identity provider that is away makes the server not ready once its keys are too old, and is named before', async () => {
  await using fake = await FakeS3.start();
  await using bucket = new S3Bucket(fake.settings(), { timing: quickTiming });
  const parts = { store, bus: new FakeBus(), bucket };
  const kept = await createReadiness({ ...parts, keySet: { check: async () => 'kept' } })();
  assert.deepEqual(kept.checks['tokens'], { ok: true, detail: 'kept' });
  const check = () => Promise.reject(new Error('away'));
  const away = await createReadiness({ ...parts, keySet: { check } })();
  assert.deepEqual([away.ready, away.checks['tokens']], [false, { ok: false, detail: 'away' }]);
  assert.equal((await createReadiness(parts)()).checks['tokens'], undefined);
});
