import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { logged } from '../harness/program.ts';
import { randomFile } from '../harness/random-file.ts';
import { Stage } from '../harness/stage.ts';

const MiB = 1024 * 1024;

describe('an agent that is killed in the middle of an upload', { concurrency: true }, () => {
  test('goes on after its restart with what the store holds', async () => {
    await using stage = await Stage.start();
    const file = stage.directory.join('large.bin');
    const sha256 = await randomFile(file, 62 * MiB);
    const args = ['--file', file, '--max-rate', String(20 * MiB)];
    const first = await stage.startAgent('till', args);
    const { upload_id: id } = await stage.client.triggerDownload('till', {});
    await stage.recordWhen(id, ({ parts_completed: parts }) => parts >= 3);
    first.kill('SIGKILL');
    await first.exit;
    const second = await stage.startAgent('till', args);
    const resumed = await second.line(logged('resumed'));
    assert.ok(Number(resumed['kept']) >= 3, `kept ${String(resumed['kept'])} parts`);
    const record = await stage.ended(id);
    assert.equal(record.status, 'completed', record.message ?? '');
    assert.equal(record.attempt, 2);
    assert.equal(record.sha256, sha256);
    assert.equal(record.parts_completed, 13);
    if (stage.s3.isEmbedded) {
      const puts = (await stage.storeRequests()).filter(
        ({ operation, status }) => operation === 'UploadPart' && status === 200,
      );
      const stored = puts.filter(({ key }) => key === record.key);
      assert.ok(stored.length <= 13 + 4, `${stored.length} PUTs of 13 parts`);
    }
    await stage.noOpenMultipartUploads();
  });
});
