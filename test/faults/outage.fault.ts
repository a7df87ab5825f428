import assert from 'node:assert/strict';
import { setTimeout as sleep } from 'node:timers/promises';
import { test } from 'node:test';
import { randomFile } from '../harness/random-file.ts';
import { Stage } from '../harness/stage.ts';

const MiB = 1024 * 1024;
const OUTAGE_MS = 60_000;

test(
  'an object store that is down for a minute delays, and the record says so',
  { timeout: 240_000 },
  async (t) => {
    await using stage = await Stage.start();
    const { embedded } = stage.s3;
    assert.ok(embedded !== undefined, 'this test takes its store away');
    const file = stage.directory.join('large.bin');
    const other = stage.directory.join('other.bin');
    const sha256 = await randomFile(file, 200 * MiB);
    const otherSha256 = await randomFile(other, 7 * MiB, 'other');
    await stage.startAgent('till', [
      '--file',
      file,
      '--allow',
      stage.directory.path,
      '--max-rate',
      String(40 * MiB),
    ]);
    const { upload_id: id } = await stage.client.triggerDownload('till', {});
    const before = await stage.recordWhen(id, ({ parts_completed: parts }) => parts >= 3);
    await embedded.goAway();
    const awayAt = performance.now();

    const stalled = await stage.recordWhen(id, ({ stalled_reason: reason }) => reason !== null);
    t.diagnostic(
      `after ${Math.round(performance.now() - awayAt)} ms the record says: ${stalled.stalled_reason}`,
    );
    assert.equal(stalled.status, 'uploading');
    assert.match(stalled.stalled_reason ?? '', /ECONNREFUSED|ECONNRESET/);
    assert.notEqual(stalled.stalled_since, null);
    assert.notEqual(stalled.next_retry_at, null);
    assert.ok(stalled.parts_completed >= before.parts_completed);
    const accepted = await stage.client.triggerDownload('till', { file_path: other });
    assert.equal((await fetch(`${stage.url}/readyz`)).status, 503);

    await sleep(OUTAGE_MS - (performance.now() - awayAt));
    assert.equal((await stage.client.getUpload(accepted.upload_id)).status, 'queued', 'it waits where it is');
    await embedded.comeBack();
    const backAt = performance.now();
    const record = await stage.ended(id);
    t.diagnostic(`completed ${Math.round(performance.now() - backAt)} ms after the store was back`);
    assert.equal(record.status, 'completed', record.message ?? '');
    assert.equal(record.sha256, sha256);
    assert.equal(record.attempt, 1);
    assert.equal(record.stalled_since, null);
    assert.equal(record.stalled_reason, null);
    assert.equal((await stage.ended(accepted.upload_id)).sha256, otherSha256);
    const stored = (await stage.storeRequests()).filter(
      ({ operation, key, status }) => operation === 'UploadPart' && key === record.key && status === 200,
    );
    assert.ok(stored.length <= 40 + 4, `${stored.length} parts of 40 were stored`);
  },
);
