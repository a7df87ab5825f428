import assert from 'node:assert/strict';
import test from 'node:test';
import { requireShortEtag } from './upload-parts.ts';

test('ETags of usual length fit for every plan, long ones only for few parts', () => {
  requireShortEtag(`"${'a'.repeat(32)}"`, 10_000);
  requireShortEtag('e'.repeat(256), 3000);
  assert.throws(() => requireShortEtag('e'.repeat(256), 4000), { code: 'storage_refused' });
  // Escaped characters take twice the space.
  assert.throws(() => requireShortEtag('"'.repeat(256), 2000), { code: 'storage_refused' });
});
