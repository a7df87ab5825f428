import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { describe, test } from 'node:test';
import { Stage } from '../stage.ts';
import { dropAnswer, hold } from './s3/index.ts';

describe('a stage with faults', { concurrency: true }, () => {
  test('has its server’s calls and its agents’ parts go through the proxy', async () => {
    await using stage = await Stage.start({ faults: true });
    const file = stage.directory.join('small.txt');
    await writeFile(file, 'small');
    await stage.startAgent('till', ['--file', file]);
    const part = stage.faults.next({ operation: 'UploadPart', fault: dropAnswer() });
    const complete = stage.faults.next({ operation: 'CompleteMultipartUpload', fault: dropAnswer() });
    const record = await stage.pull('till', {});
    assert.equal(record.status, 'completed', record.message ?? '');
    assert.equal(await (await fetch(await contentUrl(stage, record.upload_id))).text(), 'small');
    stage.faults.assertAllFired();
    for (const rule of [part, complete]) assert.equal(rule.calls[0]?.key, record.key);
    const get = await stage.faults.ended({ operation: 'GetObject' });
    assert.equal(get.status, 200);
  });

  test('can have its server killed at the very moment in which the store has completed an upload', async () => {
    await using stage = await Stage.start({ faults: true });
    const file = stage.directory.join('small.txt');
    await writeFile(file, 'small');
    await stage.startAgent('till', ['--file', file]);
    const killed = stage.faults.next({
      operation: 'CompleteMultipartUpload',
      fault: hold({
        after: async () => {
          const exit = await stage.restartServer({ signal: 'SIGKILL' });
          assert.equal(exit.signal, 'SIGKILL');
        },
      }),
    });
    const { upload_id: id } = await stage.client.triggerDownload('till', {});
    await killed.fired();
    const call = await stage.faults.ended({ operation: 'CompleteMultipartUpload' });
    assert.deepEqual([call.storeStatus, call.status], [200, null]);
    const record = await stage.ended(id);
    assert.equal(record.status, 'completed', record.message ?? '');
  });

  test('says which option is missing', async () => {
    await using stage = await Stage.start();
    assert.throws(() => stage.faults, /start the stage with \{ faults: true \}/);
  });
});

async function contentUrl(stage: Stage, uploadId: string): Promise<string> {
  const answer = await stage.fetch(`/uploads/${uploadId}/content`);
  assert.equal(answer.status, 302);
  return answer.headers.get('location') ?? '';
}
