import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeBus } from '../../../../test/doubles/fake-bus.ts';
import type { Store } from '../domain/ports/store.ts';
import { FakeS3, quickTiming } from '../../../../test/doubles/fake-s3.ts';
import { S3Bucket } from '../s3/s3-bucket.ts';
import { createReadiness } from './readiness.ts';

const store = { ping: async () => undefined } as unknown as Store;

test('readiness does not wait for an object store that never responds', async () => {
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
  const readiness = createReadiness({ store, bus: new FakeBus(), bucket, s3TimeoutMs: 50 });
  const since = performance.now();
  const result = await readiness();
  assert.ok(performance.now() - since < 10_000);
  // The probe continues; only the wait for it has ended.
  await asked.promise;
  assert.equal(result.ready, false);
  assert.deepEqual(result.checks['s3'], { ok: false, detail: 'no response within 50 ms' });
  assert.equal(result.checks['store']?.ok, true);
});

test('an unreachable identity provider makes the server not ready only once its keys are too old, and is reported before', async () => {
  await using fake = await FakeS3.start();
  await using bucket = new S3Bucket(fake.settings(), { timing: quickTiming });
  const deps = { store, bus: new FakeBus(), bucket };
  const fresh = await createReadiness({ ...deps, keySet: { check: async () => 'fresh' } })();
  assert.deepEqual(fresh.checks['tokens'], { ok: true, detail: 'fresh' });
  const check = () => Promise.reject(new Error('unavailable'));
  const unavailable = await createReadiness({ ...deps, keySet: { check } })();
  assert.deepEqual(
    [unavailable.ready, unavailable.checks['tokens']],
    [false, { ok: false, detail: 'unavailable' }],
  );
  assert.equal((await createReadiness(deps)()).checks['tokens'], undefined);
});
