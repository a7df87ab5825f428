import assert from 'node:assert/strict';
import type { UploadRecord } from '@backhaul/protocol';
import type { Stage } from '../stage.ts';
import type { PullUnderWay } from './pull-under-way.ts';

/** Waits for the end, which has to be a file delivered whole, by the attempt that was under way. */
export async function assertPulled(
  stage: Stage,
  { uploadId, sha256 }: PullUnderWay,
  { attempt = 1 }: { attempt?: number } = {},
): Promise<UploadRecord> {
  const record = await stage.ended(uploadId);
  assert.equal(record.status, 'completed', record.message ?? '');
  assert.equal(record.sha256, sha256);
  assert.equal(record.verification, 'full_object');
  assert.equal(record.attempt, attempt, 'nothing was begun again');
  assert.equal(record.stalled_since, null);
  return record;
}
