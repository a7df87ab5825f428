import assert from 'node:assert/strict';
import { test } from 'node:test';
import { join } from 'node:path';
import { filesBelow, startStore } from '../../../../test/harness/object-store/store-fixture.ts';
import { temporaryDirectory } from '../../../../test/harness/temporary-directory.ts';
import { abortStaleUploads } from './stale-uploads.ts';
import { Storage } from './storage.ts';

const HOUR_MS = 3_600_000;
const PROPERTIES = { contentHeaders: {}, userMetadata: {}, storageClass: 'STANDARD' };

test('uploads older than the limit are aborted, younger ones kept, in memory and on disk', async () => {
  await using directory = await temporaryDirectory();
  let nowMs = 1_000_000_000_000;
  await using storage = await Storage.open(directory.path, { nowMs: () => nowMs });
  await storage.createBucket('box');
  const bucket = storage.bucket('box');
  await bucket.createUpload({ key: 'old', properties: PROPERTIES, checksum: undefined });
  nowMs += 2 * HOUR_MS;
  const young = await bucket.createUpload({ key: 'young', properties: PROPERTIES, checksum: undefined });
  assert.equal(await abortStaleUploads(storage, HOUR_MS), 1);
  assert.deepEqual(bucket.uploads(), [young]);
  assert.deepEqual(await filesBelow(join(directory.path, 'buckets', 'box', 'uploads')), [
    `${young.record.id}.json`,
  ]);
});

test('a store sweeps at the start', async () => {
  await using directory = await temporaryDirectory();
  {
    await using first = await startStore({ dataDir: directory.path });
    await first.client.createUpload('/box/old');
  }
  await using second = await startStore({
    dataDir: directory.path,
    sweepAfterHours: 1,
    nowMs: () => Date.now() + 2 * HOUR_MS,
  });
  await second.store.close();
  assert.deepEqual(await filesBelow(join(directory.path, 'buckets', 'box', 'uploads')), []);
});
