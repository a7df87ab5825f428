import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { test } from 'node:test';
import { DeleteObjectCommand, PutObjectCommand } from '@aws-sdk/client-s3';
import { keepsVersions } from '../injection/stores/versioned-bucket.ts';
import { s3Client } from '../../harness/object-store.ts';
import { Stage } from '../../harness/stage.ts';

test('in a versioned bucket, a file is verified and fetched by its version, whatever became of its key', async () => {
  await using stage = await Stage.start({ store: keepsVersions });
  const file = stage.directory.join('report.txt');
  await writeFile(file, 'as it was');
  await stage.startAgent('till', ['--file', file]);
  const { accessKeyId, secretAccessKey, bucket } = stage.s3;
  const somebody = s3Client(stage.faults.endpoint, accessKeyId, secretAccessKey);
  for (const change of ['overwritten', 'deleted'] as const) {
    const record = await stage.pull('till', {});
    assert.equal(record.status, 'completed', record.message ?? '');
    const object = { Bucket: bucket, Key: record.key };
    const command =
      change === 'deleted'
        ? somebody.send(new DeleteObjectCommand(object))
        : somebody.send(new PutObjectCommand({ ...object, Body: 'something else' }));
    await command;
    const found = await stage.client.verifyUpload(record.upload_id);
    assert.equal(found.verdict, 'intact', `${change}: ${JSON.stringify(found)}`);
    const { headers } = await stage.fetch(`/uploads/${record.upload_id}/content`);
    const content = await fetch(headers.get('location') ?? '');
    assert.deepEqual([content.status, await content.text()], [200, 'as it was'], change);
  }
  somebody.destroy();
  assert.ok(stage.behaviour.shownCount > 0);
});
