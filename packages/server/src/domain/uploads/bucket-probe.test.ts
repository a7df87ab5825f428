import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeBucket } from '../fakes/fake-bucket.ts';
import { FakeClock } from '../fakes/fake-clock.ts';
import { BucketProbe } from './bucket-probe.ts';

function openProbe() {
  const clock = new FakeClock();
  const bucket = new FakeBucket(clock);
  return { clock, bucket, probe: new BucketProbe(bucket, clock) };
}

test('everybody who asks while the store is asked gets the same answer', async () => {
  const { clock, bucket, probe } = openProbe();
  const release = bucket.hold('ping');
  const answers = [probe.assertAnswers(), probe.assertAnswers()];
  clock.advance(5000);
  answers.push(probe.assertAnswers());
  release();
  await Promise.all(answers);
  assert.equal(bucket.count('ping'), 1);
});

test('an answer holds for a second, a bad one too', async () => {
  const { clock, bucket, probe } = openProbe();
  bucket.fail('ping', 'unavailable');
  await assert.rejects(probe.assertAnswers(), { kind: 'unavailable' });
  clock.advance(999);
  await assert.rejects(probe.assertAnswers(), { kind: 'unavailable' });
  clock.advance(1);
  await probe.assertAnswers();
  clock.advance(999);
  await probe.assertAnswers();
  assert.equal(bucket.count('ping'), 2);
  clock.advance(1);
  await probe.assertAnswers();
  assert.equal(bucket.count('ping'), 3);
});

test('how long an answer holds does not depend on how the clock is set', async () => {
  const { clock, bucket, probe } = openProbe();
  bucket.fail('ping', 'unavailable');
  await assert.rejects(probe.assertAnswers(), { kind: 'unavailable' });
  for (const jumpMs of [-3_600_000, 7_200_000]) {
    clock.jump(jumpMs);
    await assert.rejects(probe.assertAnswers(), { kind: 'unavailable' });
  }
  clock.advance(1000);
  await probe.assertAnswers();
  assert.equal(bucket.count('ping'), 2);
});
