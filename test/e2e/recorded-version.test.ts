import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { describe, test } from 'node:test';
import { DeleteObjectCommand, HeadObjectCommand, PutObjectCommand, S3Client } from '@aws-sdk/client-s3';
import type { UploadRecord } from '@backhaul/protocol';
import { assertProblem } from '../harness/assert-problem.ts';
import { keepsVersions } from '../faults/injection/stores/versioned-bucket.ts';
import { Stage } from '../harness/stage.ts';

const TEXT = 'the file as it was pulled';

describe('in a bucket that keeps versions', { concurrency: true }, () => {
  for (const [what, keyState, words] of [
    ['deleted', 'nothing', /the key was deleted; the recorded version .* still exists/],
    ['overwritten', 'other', /the key now holds another object; the recorded version .* still exists/],
  ] as const) {
    test(`a key that was ${what} leaves the recorded version, until that is removed too`, async () => {
      await using stage = await Stage.start({ store: keepsVersions });
      const record = await pulled(stage);
      const somebody = clientOf(stage);
      const place = { Bucket: record.bucket, Key: record.key };
      await somebody.send(
        what === 'deleted'
          ? new DeleteObjectCommand(place)
          : new PutObjectCommand({ ...place, Body: 'other' }),
      );
      const found = await stage.client.verifyUpload(record.upload_id);
      assert.equal(found.verdict, 'intact', JSON.stringify(found));
      assert.equal(found.key_state, keyState);
      const verify = await stage.cli('verify', record.upload_id);
      assert.equal(verify.code, 0, verify.stderr);
      assert.match(verify.stdout, words);
      const output = stage.directory.join('fetched.txt');
      const content = await stage.cli('content', record.upload_id, '--output', output);
      assert.equal(content.code, 0, content.stderr);
      assert.equal(await readFile(output, 'utf8'), TEXT);

      const version = { ...place, VersionId: record.version_id ?? '' };
      if (what === 'overwritten') {
        const path = `/uploads/${record.upload_id}?object=true`;
        assert.equal((await stage.fetch(path, { method: 'DELETE' })).status, 204);
        await assert.rejects(somebody.send(new HeadObjectCommand(version)), { name: 'NotFound' });
        assert.equal((await somebody.send(new HeadObjectCommand(place))).ContentLength, 'other'.length);
        return;
      }
      await somebody.send(new DeleteObjectCommand(version));
      assert.equal((await stage.client.verifyUpload(record.upload_id)).verdict, 'missing');
      const gone = await assertProblem(
        await stage.fetch(`/uploads/${record.upload_id}/content`),
        404,
        'object_not_found',
      );
      assert.match(gone.detail, /nor is its recorded version/);
    });
  }
});

async function pulled(stage: Stage): Promise<UploadRecord> {
  const file = stage.directory.join('report.txt');
  await writeFile(file, TEXT);
  await stage.startAgent('till', ['--file', file]);
  const record = await stage.pull('till', {});
  assert.equal(record.status, 'completed', record.message ?? '');
  assert.notEqual(record.version_id, null);
  return record;
}

/** Uses the simulated store, as all other clients do. */
function clientOf({ faults, s3 }: Stage): S3Client {
  const { accessKeyId, secretAccessKey } = s3;
  return new S3Client({
    endpoint: faults.endpoint,
    region: 'us-east-1',
    forcePathStyle: true,
    credentials: { accessKeyId, secretAccessKey },
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
  });
}
