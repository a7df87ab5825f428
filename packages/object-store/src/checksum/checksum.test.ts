import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CHECKSUM_ALGORITHMS, CHECKSUM_TRAITS, type ChecksumAlgorithm } from './algorithm.ts';
import { objectChecksum } from './object-checksum.ts';

function digest(algorithm: ChecksumAlgorithm, ...pieces: Buffer[]): Buffer {
  const running = CHECKSUM_TRAITS[algorithm].start();
  for (const piece of pieces) running.update(piece);
  return running.digest();
}

/** "Check" values of the CRC catalogue, and FIPS 180-4's digests of the same nine bytes. */
const CHECK: Readonly<Record<ChecksumAlgorithm, string>> = {
  CRC32: 'cbf43926',
  CRC32C: 'e3069283',
  CRC64NVME: 'ae8b14860a799888',
  SHA1: 'f7c3bc1d808e04732adf679965ccc34ca7ae3441',
  SHA256: '15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225',
};

for (const algorithm of CHECKSUM_ALGORITHMS) {
  test(`${algorithm} of "123456789" is the published value, regardless of chunks`, () => {
    const data = Buffer.from('123456789');
    for (let cut = 0; cut <= data.length; cut++) {
      const value = digest(algorithm, data.subarray(0, cut), data.subarray(cut));
      assert.equal(value.toString('hex'), CHECK[algorithm]);
    }
  });
}

for (const algorithm of ['CRC32', 'CRC32C', 'CRC64NVME'] as const) {
  test(`${algorithm}s of parts, including empty ones, combine to that of the whole object`, () => {
    const whole = Buffer.from('The quick brown fox jumps over the lazy dog.'.repeat(50));
    const cuts = [0, 0, 1, 17, 1000, 1000, whole.length];
    const parts = cuts.slice(1).map((end, at) => whole.subarray(cuts[at], end));
    const { value } = objectChecksum(
      { algorithm, type: 'FULL_OBJECT' },
      parts.map((part) => ({ sizeBytes: part.length, value: digest(algorithm, part).toString('base64') })),
    );
    assert.equal(value, digest(algorithm, whole).toString('base64'));
  });
}

test('a composite checksum covers the parts’ checksums and ends with their count', () => {
  const parts = ['one', 'two'].map((text) => digest('SHA256', Buffer.from(text)));
  const { value } = objectChecksum(
    { algorithm: 'SHA256', type: 'COMPOSITE' },
    parts.map((part) => ({ sizeBytes: 3, value: part.toString('base64') })),
  );
  assert.equal(value, `${digest('SHA256', ...parts).toString('base64')}-2`);
});
