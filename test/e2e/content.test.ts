import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { after, before, describe, test } from 'node:test';
import { DeleteObjectCommand, PutObjectCommand } from '@aws-sdk/client-s3';
import type { UploadRecord } from '@backhaul/protocol';
import { assertProblem } from '../harness/assert-problem.ts';
import { Stage } from '../harness/stage.ts';

describe('GET /uploads/{upload_id}/content', () => {
  let stage: Stage;
  let file: string;
  before(async () => {
    stage = await Stage.start();
    file = stage.directory.join('Umsätze 2025.csv');
    await writeFile(file, 'a;b\n1;2\n');
    await stage.startAgent('till', ['--file', file]);
    const away = await stage.startAgent('away', ['--file', file]);
    await away.stop();
  });
  after(() => stage[Symbol.asyncDispose]());

  test('redirects to the object, which is saved under the file’s name', async () => {
    const record = await pulled();
    const redirect = await contentOf(record);
    assert.equal(redirect.status, 302);
    assert.equal(redirect.headers.get('cache-control'), 'no-store');
    const location = new URL(redirect.headers.get('location') ?? '');
    assert.equal(location.origin, stage.s3.endpoint);
    const object = await fetch(location);
    assert.equal(object.status, 200);
    assert.equal(await object.text(), 'a;b\n1;2\n');
    const disposition = object.headers.get('content-disposition') ?? '';
    assert.match(disposition, /^attachment; filename="Ums_tze 2025\.csv"; /);
    assert.match(disposition, /filename\*=UTF-8''Ums%C3%A4tze%202025\.csv$/);
  });

  test('gives an address that is good for this object and for reading only', async () => {
    const record = await pulled();
    const other = await pulled();
    const { headers } = await contentOf(record);
    const location = headers.get('location') ?? '';
    assert.equal((await fetch(location, { method: 'PUT', body: 'x' })).status, 403);
    assert.equal((await fetch(location, { method: 'DELETE' })).status, 403);
    assert.equal((await fetch(location.replace(record.key, other.key))).status, 403);
    const range = await fetch(location, { headers: { range: 'bytes=4-6' } });
    assert.equal(range.status, 206);
    assert.equal(await range.text(), '1;2');
  });

  test('answers 409 before there is an object, or when there will be none', async () => {
    const queued = await stage.client.triggerDownload('away', {});
    await assertProblem(await contentOf(queued), 409, 'upload_not_completed');
    await stage.client.cancelUpload(queued.upload_id);
    const problem = await assertProblem(await contentOf(queued), 409, 'upload_not_completed');
    assert.match(problem.detail, /cancelled/);
  });

  test('answers 404 when the object was deleted behind the server’s back', async () => {
    const record = await pulled();
    await stage.s3.client.send(new DeleteObjectCommand({ Bucket: record.bucket, Key: record.key }));
    await assertProblem(await contentOf(record), 404, 'object_not_found');
    assert.equal((await stage.client.getUpload(record.upload_id)).status, 'completed');
  });

  test('answers 404 when something else lies at the key: it is not what was verified', async () => {
    const record = await pulled();
    await stage.s3.client.send(
      new PutObjectCommand({ Bucket: record.bucket, Key: record.key, Body: 'a;b\n1;3\n' }),
    );
    await assertProblem(await contentOf(record), 404, 'object_not_found');
  });

  async function pulled(): Promise<UploadRecord> {
    const record = await stage.pull('till', {});
    assert.equal(record.status, 'completed', record.message ?? '');
    return record;
  }

  function contentOf({ upload_id: id }: UploadRecord): Promise<Response> {
    return stage.fetch(`/uploads/${id}/content`);
  }
});
