import assert from 'node:assert/strict';
import { test } from 'node:test';
import { errorXml, FakeS3, quickTiming } from './fake-s3.ts';
import { MeteredBucket } from './metered-bucket.ts';
import { S3Bucket } from './s3-bucket.ts';

test('each call is reported with its outcome and duration', async () => {
  await using fake = await FakeS3.start();
  await using inner = new S3Bucket(fake.settings(), { timing: quickTiming });
  const seen: string[] = [];
  const bucket = new MeteredBucket(inner, (operation, outcome, seconds) => {
    assert.ok(seconds >= 0 && seconds < 60);
    seen.push(`${operation} ${outcome}`);
  });
  const upload = await bucket.createMultipartUpload({ key: 'uploads/k', token: 't', checksumMode: 'none' });
  const keys: string[] = [];
  for await (const { key } of bucket.listMultipartUploads('uploads/')) keys.push(key);
  assert.deepEqual(keys, ['uploads/k']);
  await bucket.abortMultipartUpload(upload);
  await assert.rejects(bucket.listParts(upload), { kind: 'upload_gone' });
  await assert.rejects(bucket.signGet({ key: '../x', versionId: null, fileName: 'x' }), RangeError);
  fake.intercept = (_, response) => {
    response.writeHead(403).end(errorXml('AccessDenied'));
    return true;
  };
  await assert.rejects(bucket.ping());
  await assert.rejects(bucket.head('k', { signal: AbortSignal.abort() }));
  assert.deepEqual(seen, [
    'createMultipartUpload ok',
    'listMultipartUploads ok',
    'abortMultipartUpload ok',
    'listParts upload_gone',
    'signGet fault',
    'ping refused',
    'head aborted',
  ]);
  assert.equal(bucket.name, 'bucket');
});
