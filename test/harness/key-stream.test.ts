import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { keyStream, sha256OfKeyStream } from './key-stream.ts';

const bytesOf = (seed: string, from: number, to: number) => Buffer.concat([...keyStream(seed, from, to)]);

test('any stretch of a key stream is what the whole has there', () => {
  const whole = bytesOf('a', 0, 3_000_000);
  assert.equal(whole.length, 3_000_000);
  for (const [from, to] of [
    [0, 0],
    [1, 2],
    [15, 17],
    [16, 32],
    [1_048_575, 2_097_153],
    [2_999_999, 3_000_000],
  ] as const) {
    assert.deepEqual(bytesOf('a', from, to), whole.subarray(from, to), `${from} to ${to}`);
  }
  assert.notDeepEqual(bytesOf('b', 0, 100), whole.subarray(0, 100));
});

test('its digest is that of its first bytes', async () => {
  const sizeBytes = 1_500_001;
  const expected = createHash('sha256')
    .update(bytesOf('a', 0, sizeBytes))
    .digest('hex');
  assert.equal(await sha256OfKeyStream('a', sizeBytes), expected);
});
