import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeBucket } from '../../../../../test/doubles/fake-bucket.ts';
import { FakeClock } from '../../../../../test/doubles/fake-clock.ts';
import { BucketProbe } from './bucket-outage.ts';

function openProbe() {
  const clock = new FakeClock();
  const bucket = new FakeBucket(clock);
  return { clock, bucket, probe: new BucketProbe(bucket, clock) };
}

test('concurrent callers share one check', async () => {
  const { clock, bucket, probe } = openProbe();
  const release = bucket.hold('ping');
  const results = [probe.assertAvailable(), probe.assertAvailable()];
  clock.advance(5000);
  results.push(probe.assertAvailable());
  release();
  await Promise.all(results);
  assert.equal(bucket.count('ping'), 1);
});

test('a result is reused for a second, failures too', async () => {
  const { clock, bucket, probe } = openProbe();
  bucket.fail('ping', 'unavailable');
  await assert.rejects(probe.assertAvailable(), { kind: 'unavailable' });
  clock.advance(999);
  await assert.rejects(probe.assertAvailable(), { kind: 'unavailable' });
  clock.advance(1);
  await probe.assertAvailable();
  clock.advance(999);
  await probe.assertAvailable();
  assert.equal(bucket.count('ping'), 2);
  clock.advance(1);
  await probe.assertAvailable();
  assert.equal(bucket.count('ping'), 3);
});

test('how long a result is reused does not depend on clock changes', async () => {
  const { clock, bucket, probe } = openProbe();
  bucket.fail('ping', 'unavailable');
  await assert.rejects(probe.assertAvailable(), { kind: 'unavailable' });
  for (const jumpMs of [-3_600_000, 7_200_000]) {
    clock.jump(jumpMs);
    await assert.rejects(probe.assertAvailable(), { kind: 'unavailable' });
  }
  clock.advance(1000);
  await probe.assertAvailable();
  assert.equal(bucket.count('ping'), 2);
});
