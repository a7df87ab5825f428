import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import type { PendingUpload } from '../domain/ports/bucket.ts';
import { combineCrc32 } from '../domain/uploads/expected-object.ts';
import { crc32Base64, errorXml, FakeS3, quickTiming } from '../../../../test/doubles/fake-s3.ts';
import { S3Bucket } from './s3-bucket.ts';

const md5Base64 = (bytes: Uint8Array) => createHash('md5').update(bytes).digest('base64');

async function uploadParts(bucket: S3Bucket, key: string, bodies: readonly Buffer[]) {
  const { checksumMode } = await bucket.capabilities();
  const upload = await bucket.createMultipartUpload({ key, token: 'token-1', checksumMode });
  const parts = bodies.map((bytes, index) => ({
    partNumber: index + 1,
    sizeBytes: bytes.length,
    crc32: crc32Base64(bytes),
    md5: md5Base64(bytes),
  }));
  const { urls } = await bucket.signParts(upload, parts, checksumMode);
  for (const [index, { url, headers }] of urls.entries()) {
    const answer = await fetch(url, { method: 'PUT', headers, body: new Uint8Array(bodies[index] ?? []) });
    assert.equal(answer.status, 200);
  }
  return { upload, parts, checksumMode };
}

async function pendingUploads(bucket: S3Bucket): Promise<PendingUpload[]> {
  const pending: PendingUpload[] = [];
  for await (const upload of bucket.listMultipartUploads('uploads/')) pending.push(upload);
  return pending;
}

const bodies = ['one', 'two', 'three', 'four', 'five'].map((text) => Buffer.from(text));

test('parts are listed from all pages, with size, ETag and checksum', async () => {
  await using fake = await FakeS3.start();
  await using bucket = new S3Bucket(fake.settings(), { timing: quickTiming });
  const { upload, parts } = await uploadParts(bucket, 'uploads/k', bodies);
  const listed = await bucket.listParts(upload);
  assert.deepEqual(
    listed.map(({ partNumber, sizeBytes, crc32, sha256 }) => ({ partNumber, sizeBytes, crc32, sha256 })),
    parts.map(({ partNumber, sizeBytes, crc32 }) => ({ partNumber, sizeBytes, crc32, sha256: null })),
  );
  assert.ok(listed.every(({ etag }) => /^"[0-9a-f]{32}"$/.test(etag)));
});

test('a truncated or looping listing is a failure, not a short list', async () => {
  await using fake = await FakeS3.start();
  await using bucket = new S3Bucket(fake.settings(), { timing: quickTiming });
  const { upload } = await uploadParts(bucket, 'uploads/k', bodies);
  const page =
    '<ListPartsResult><UploadId>u</UploadId><IsTruncated>true</IsTruncated><NextPartNumberMarker>2</NextPartNumberMarker></ListPartsResult>';
  for (const body of ['', '<html></html>', page, page.replace(/<Next.*r>(?=<\/List)/, '')]) {
    fake.intercept = ({ method }, response) => {
      if (method === 'GET') response.writeHead(200).end(body);
      return method === 'GET';
    };
    await assert.rejects(bucket.listParts(upload), { kind: 'unavailable' });
  }
});

test('HEAD returns token, length, checksum, encryption and storage class', async () => {
  await using fake = await FakeS3.start();
  await using bucket = new S3Bucket(fake.settings(), { timing: quickTiming });
  const { upload, parts, checksumMode } = await uploadParts(bucket, 'uploads/k', bodies);
  const crc32 = combineCrc32(parts);
  const sizeBytes = Buffer.concat(bodies).length;
  const listed = await bucket.listParts(upload);
  const completed = listed.map(({ partNumber, etag, crc32 }) => ({ partNumber, etag, crc32: crc32 ?? '' }));
  await bucket.completeMultipartUpload(upload, { parts: completed, sizeBytes, crc32, checksumMode });
  assert.deepEqual(await bucket.head('uploads/k'), {
    sizeBytes,
    etag: '"object"',
    versionId: null,
    token: 'token-1',
    crc32,
    serverSideEncryption: 'AES256',
    storageClass: 'INTELLIGENT_TIERING',
  });
  const sent = fake.requests.findLast(({ method, query }) => method === 'POST' && query.has('uploadId'));
  assert.equal(sent?.headers['if-none-match'], '*');
  assert.equal(sent?.headers['x-amz-mp-object-size'], String(sizeBytes));
  assert.equal(sent?.headers['x-amz-checksum-crc32'], crc32);
});

test('checksums and conditions are not sent to a store that ignores them', async () => {
  await using fake = await FakeS3.start({
    crc32: false,
    fullObjectCrc32: false,
    onlyIfAbsent: false,
    objectSize: false,
  });
  await using bucket = new S3Bucket(fake.settings(), { timing: quickTiming });
  const { upload, parts, checksumMode } = await uploadParts(bucket, 'uploads/k', bodies);
  assert.equal(checksumMode, 'md5');
  const listed = await bucket.listParts(upload);
  await bucket.completeMultipartUpload(upload, {
    parts: listed.map(({ partNumber, etag }) => ({ partNumber, etag, crc32: 'AAAAAA==' })),
    sizeBytes: 19,
    crc32: combineCrc32(parts),
    checksumMode,
  });
  const sent = fake.requests.findLast(({ method, query }) => method === 'POST' && query.has('uploadId'));
  const names = Object.keys(sent?.headers ?? {});
  assert.deepEqual(
    names.filter((name) => /checksum|if-none-match|mp-object-size/.test(name)),
    [],
  );
  assert.doesNotMatch(sent?.body.toString() ?? '', /Checksum/);
});

test('a composite checksum is not taken for one of the whole object', async () => {
  await using fake = await FakeS3.start();
  await using bucket = new S3Bucket(fake.settings(), { timing: quickTiming });
  for (const headers of [
    { 'x-amz-checksum-crc32': 'NSRBwg==-20' },
    { 'x-amz-checksum-crc32': 'NSRBwg==', 'x-amz-checksum-type': 'COMPOSITE' },
  ]) {
    fake.objects.set('k', [{ bytes: Buffer.from('x'), headers }]);
    assert.equal((await bucket.head('k'))?.crc32, null);
  }
});

test('a missing object is undefined; an object of unknown length is a failure', async () => {
  await using fake = await FakeS3.start();
  await using bucket = new S3Bucket(fake.settings(), { timing: quickTiming });
  assert.equal(await bucket.head('uploads/none'), undefined);
  fake.intercept = (_, response) => {
    response.writeHead(200, { 'transfer-encoding': 'chunked' }).end();
    return true;
  };
  await assert.rejects(bucket.head('uploads/none'), { kind: 'unavailable', message: /Content-Length/ });
});

test('HEAD requests a version by its id; a missing version is undefined', async () => {
  await using fake = await FakeS3.start();
  await using bucket = new S3Bucket(fake.settings(), { timing: quickTiming });
  const asked: (string | null)[] = [];
  fake.intercept = ({ method, query }, response) => {
    if (method !== 'HEAD') return false;
    const versionId = query.get('versionId');
    asked.push(versionId);
    const headers = {
      'content-length': '3',
      'x-amz-version-id': versionId ?? '',
      'x-amz-meta-backhaul-token': 't',
    };
    if (versionId === 'v1') response.writeHead(200, headers).end();
    else response.writeHead(404).end();
    return true;
  };
  assert.equal(await bucket.head('uploads/k'), undefined);
  assert.equal((await bucket.head('uploads/k', { versionId: 'v1' }))?.token, 't');
  assert.equal(await bucket.head('uploads/k', { versionId: 'v0' }), undefined);
  assert.deepEqual(asked, [null, 'v1', 'v0']);
});

test('a forbidden HEAD is not taken for a missing object', async () => {
  await using fake = await FakeS3.start();
  await using bucket = new S3Bucket(fake.settings(), { timing: quickTiming });
  fake.intercept = (_, response) => {
    response.writeHead(403).end();
    return true;
  };
  await assert.rejects(bucket.head('uploads/k'), { kind: 'refused', message: /s3:ListBucket/ });
});

test('aborting and deleting missing things succeeds; a forbidden abort fails', async () => {
  await using fake = await FakeS3.start();
  await using bucket = new S3Bucket(fake.settings(), { timing: quickTiming });
  await bucket.abortMultipartUpload({ key: 'uploads/k', s3UploadId: 'never' });
  await bucket.deleteObject('uploads/k');
  fake.intercept = (_, response) => {
    response.writeHead(404).end(errorXml('NoSuchVersion'));
    return true;
  };
  await bucket.deleteObject('uploads/k', { versionId: 'v' });
  fake.intercept = (_, response) => {
    response.writeHead(403).end(errorXml('AccessDenied'));
    return true;
  };
  await assert.rejects(bucket.abortMultipartUpload({ key: 'uploads/k', s3UploadId: 'x' }), {
    kind: 'refused',
  });
});

test('pending uploads under a prefix are listed from all pages', async () => {
  await using fake = await FakeS3.start();
  await using bucket = new S3Bucket(fake.settings(), { timing: quickTiming });
  const keys = ['uploads/a', 'uploads/b', 'uploads/c', 'uploads/d', 'uploads/e'];
  for (const key of [...keys, 'other/f']) {
    await bucket.createMultipartUpload({ key, token: key, checksumMode: 'none' });
  }
  const pending = await pendingUploads(bucket);
  assert.deepEqual(
    pending.map(({ key }) => key),
    keys,
  );
  assert.deepEqual(
    new Set(pending.map(({ initiatedAt }) => initiatedAt)),
    new Set([Date.UTC(2025, 10, 1, 10)]),
  );
  assert.ok(pending.every(({ key, s3UploadId }) => fake.uploads.get(s3UploadId)?.key === key));
});

test('URLs point to the public endpoint; the server itself calls the other one', async () => {
  await using fake = await FakeS3.start();
  const settings = fake.settings({ publicEndpoint: 'https://files.example.com:8443' });
  await using bucket = new S3Bucket(settings, { timing: quickTiming });
  const upload = await bucket.createMultipartUpload({ key: 'uploads/k', token: 't', checksumMode: 'none' });
  const { urls, expiresAt } = await bucket.signParts(
    upload,
    [{ partNumber: 1, sizeBytes: 1, crc32: 'AAAAAA==' }],
    'none',
  );
  assert.ok(urls[0]?.url.startsWith('https://files.example.com:8443/bucket/uploads/k?'));
  const get = await bucket.signGet({ key: 'uploads/k', versionId: null, fileName: 'k' });
  assert.ok(get.startsWith('https://files.example.com:8443/bucket/uploads/k?'));
  assert.ok(expiresAt > Date.now() + 890_000 && expiresAt <= Date.now() + 900_000);
});

test('an aborting caller gets its own reason', async () => {
  await using fake = await FakeS3.start();
  await using bucket = new S3Bucket(fake.settings(), { timing: quickTiming });
  fake.intercept = () => true;
  const controller = new AbortController();
  const head = bucket.head('uploads/k', { signal: controller.signal });
  setTimeout(() => controller.abort(new Error('enough')), 20);
  await assert.rejects(head, { message: 'enough' });
});

test('closing a bucket stops its probe, and closing twice is harmless', async () => {
  await using fake = await FakeS3.start();
  const bucket = new S3Bucket(fake.settings(), { timing: quickTiming });
  fake.intercept = () => true;
  const probing = assert.rejects(bucket.capabilities());
  await bucket.close();
  await bucket.close();
  await probing;
});
