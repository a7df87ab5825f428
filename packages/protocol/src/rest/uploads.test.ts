import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isTerminal, uploadStatuses } from './uploads.ts';

test('the terminal statuses are completed, failed, cancelled and expired', () => {
  assert.deepEqual(
    uploadStatuses.filter((status) => isTerminal(status)),
    ['completed', 'failed', 'cancelled', 'expired'],
  );
});
