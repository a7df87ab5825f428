import assert from 'node:assert/strict';
import type { UploadRecord } from '@backhaul/protocol';
import type { Stage } from '../harness/stage.ts';
import type { PullUnderWay } from '../harness/pull-under-way.ts';

/** Waits until the running attempt has delivered the whole file. */
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
