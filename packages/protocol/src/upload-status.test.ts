import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isTerminal, uploadStatuses } from './upload-status.ts';

test('an upload ends as completed, failed, cancelled or expired, and in no other way', () => {
  assert.deepEqual(
    uploadStatuses.filter((status) => isTerminal(status)),
    ['completed', 'failed', 'cancelled', 'expired'],
  );
});
