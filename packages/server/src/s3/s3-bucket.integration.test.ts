import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { PresignedPart } from '@backhaul/protocol';
import { combineCrc32 } from '../domain/uploads/expected-object.ts';
import { crc32Base64, quickTiming } from '../../../../test/doubles/fake-s3.ts';
import { S3Bucket } from './s3-bucket.ts';
import type { S3Settings } from './s3-settings.ts';

const program = fileURLToPath(new URL('../../../object-store/bin/backhaul-object-store.js', import.meta.url));
const PART = 5 * 1024 * 1024;

/** A store that checks every signature, in a process of its own. */
async function startStore() {
  const directory = await mkdtemp(join(tmpdir(), 'backhaul-s3-'));
  const args = ['--port', '0', '--data', directory, '--access-key', 'key', '--secret-key', 'secret-secret'];
  const child = spawn(process.execPath, [program, ...args, '--bucket', 'bucket', '--exit-with-stdin'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const exited = once(child, 'exit');
  const lines = createInterface(child.stdout);
  const [line] = (await Promise.race([
    once(lines, 'line'),
    exited.then(() => Promise.reject(new Error('the store ended before it listened'))),
  ])) as [string];
  const { url } = JSON.parse(line) as { url: string };
  const stop = async () => {
    child.stdin.end();
    await exited;
    await rm(directory, { recursive: true });
  };
  return { url, stop };
}

let store: Awaited<ReturnType<typeof startStore>>;
before(async () => {
  store = await startStore();
});
after(() => store.stop());

function settings(changes: Partial<S3Settings> = {}): S3Settings {
  return {
    endpoint: store.url,
    region: 'us-east-1',
    bucket: 'bucket',
    keyPrefix: 'uploads',
    accessKeyId: 'key',
    secretAccessKey: 'secret-secret',
    forcePathStyle: true,
    storageClass: { wanted: 'INTELLIGENT_TIERING', required: false },
    sse: { wanted: 'AES256', required: false },
    checksum: 'auto',
    presignExpirySeconds: 900,
    ...changes,
  };
}

/** Sends as an agent does: exactly the given headers. */
async function send(
  method: string,
  { url, headers }: Pick<PresignedPart, 'url' | 'headers'>,
  body: Uint8Array = Buffer.alloc(0),
) {
  return new Promise<{ status: number; etag: string; headers: Record<string, unknown>; body: Buffer }>(
    (resolve, reject) => {
      const outgoing = request(url, { method, headers }, (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('error', reject);
        response.on('end', () =>
          resolve({
            status: response.statusCode ?? 0,
            etag: response.headers.etag ?? '',
            headers: response.headers,
            body: Buffer.concat(chunks),
          }),
        );
      });
      outgoing.on('error', reject);
      outgoing.end(body);
    },
  );
}

const describePart = (bytes: Uint8Array, partNumber: number) => ({
  partNumber,
  sizeBytes: bytes.length,
  crc32: crc32Base64(bytes),
  sha256: createHash('sha256').update(bytes).digest('base64'),
  md5: createHash('md5').update(bytes).digest('base64'),
});

for (const checksum of ['auto', 'sha256', 'md5', 'none'] as const) {
  test(`a file uploaded by bound URLs downloads unchanged (S3_CHECKSUM=${checksum})`, async () => {
    await using bucket = new S3Bucket(settings({ checksum }), { timing: quickTiming });
    const { checksumMode } = await bucket.capabilities();
    assert.equal(checksumMode, checksum === 'auto' ? 'crc32' : checksum);
    const key = `uploads/till-1/${checksum}/report.bin`;
    const upload = await bucket.createMultipartUpload({ key, token: 'token-1', checksumMode });
    const bodies = [randomBytes(PART), randomBytes(PART), randomBytes(1234)];
    const parts = bodies.map((bytes, index) => describePart(bytes, index + 1));
    const { urls } = await bucket.signParts(upload, parts, checksumMode);
    const sent = [];
    for (const [index, url] of urls.entries()) {
      const { status, etag } = await send('PUT', url, bodies[index]);
      assert.equal(status, 200);
      const { crc32, sha256 } = describePart(bodies[index] ?? Buffer.alloc(0), index + 1);
      sent.push({ partNumber: index + 1, etag, crc32, sha256 });
    }
    const listed = await bucket.listParts(upload);
    assert.deepEqual(
      listed.map(({ partNumber, sizeBytes, etag }) => ({ partNumber, sizeBytes, etag })),
      sent.map(({ partNumber, etag }, index) => ({ partNumber, etag, sizeBytes: bodies[index]?.length })),
    );
    const whole = Buffer.concat(bodies);
    const crc32 = combineCrc32(parts);
    const completion = { parts: sent, sizeBytes: whole.length, crc32, checksumMode };
    await bucket.completeMultipartUpload(upload, completion);

    const facts = await bucket.head(key);
    assert.equal(facts?.sizeBytes, whole.length);
    assert.equal(facts.token, 'token-1');
    assert.equal(facts.storageClass, 'INTELLIGENT_TIERING');
    if (checksumMode === 'crc32') assert.equal(facts.crc32, crc32Base64(whole));

    const fileName = 'Umsätze.bin';
    const url = await bucket.signGet({ key, versionId: facts.versionId, fileName });
    const back = await send('GET', { url, headers: {} });
    assert.equal(back.status, 200);
    assert.ok(back.body.equals(whole));
    assert.match(String(back.headers['content-disposition']), /filename\*=UTF-8''Ums%C3%A4tze\.bin/);

    await bucket.deleteObject(key);
    assert.equal(await bucket.head(key), undefined);
    await bucket.deleteObject(key);
  });
}

test('a part URL is valid for one method, key, part, length and checksum only', async () => {
  await using bucket = new S3Bucket(settings(), { timing: quickTiming });
  const { checksumMode } = await bucket.capabilities();
  const key = 'uploads/till-1/bound/report.bin';
  const upload = await bucket.createMultipartUpload({ key, token: 't', checksumMode });
  const bytes = randomBytes(1000);
  const { urls } = await bucket.signParts(upload, [describePart(bytes, 1)], checksumMode);
  const [right] = urls;
  assert.ok(right);
  const changed = (from: string, to: string) => ({ ...right, url: right.url.replace(from, to) });
  const refused = async (what: string, answer: ReturnType<typeof send>, statuses = [403]) => {
    const { status } = await answer;
    assert.ok(statuses.includes(status), `${what}: ${status}`);
  };
  await refused('another key', send('PUT', changed('bound', 'other'), bytes));
  await refused('another part', send('PUT', changed('partNumber=1', 'partNumber=2'), bytes));
  await refused('a longer life', send('PUT', changed('X-Amz-Expires=900', 'X-Amz-Expires=9000'), bytes));
  await refused('another method', send('GET', right, bytes));
  const shorter = { ...right, headers: { ...right.headers, 'content-length': '999' } };
  await refused('another length', send('PUT', shorter, bytes.subarray(1)));
  const other = randomBytes(1000);
  const otherSum = { ...right, headers: { ...right.headers, 'x-amz-checksum-crc32': crc32Base64(other) } };
  await refused('another checksum', send('PUT', otherSum, other));
  const without = { ...right, headers: { 'content-length': '1000' } };
  await refused('no checksum', send('PUT', without, other));
  await refused('other bytes', send('PUT', right, other), [400]);
  assert.deepEqual(await bucket.listParts(upload), []);
  assert.equal((await send('PUT', right, bytes)).status, 200);
  await bucket.abortMultipartUpload(upload);
  await assert.rejects(bucket.listParts(upload), { kind: 'upload_gone' });
});

test('Complete is refused over an existing object, and with a wrong size, checksum or part', async () => {
  await using bucket = new S3Bucket(settings(), { timing: quickTiming });
  const { checksumMode } = await bucket.capabilities();
  const key = 'uploads/till-1/twice/report.bin';
  const bytes = randomBytes(1000);
  const prepare = async () => {
    const upload = await bucket.createMultipartUpload({ key, token: 't', checksumMode });
    const { urls } = await bucket.signParts(upload, [describePart(bytes, 1)], checksumMode);
    assert.ok(urls[0]);
    const { etag } = await send('PUT', urls[0], bytes);
    const parts = [{ partNumber: 1, etag, crc32: crc32Base64(bytes) }];
    return { upload, right: { parts, sizeBytes: 1000, crc32: crc32Base64(bytes), checksumMode } };
  };
  const { upload, right } = await prepare();
  const complete = async (changes: Partial<typeof right>) =>
    bucket.completeMultipartUpload(upload, { ...right, ...changes });
  await assert.rejects(complete({ sizeBytes: 999 }), { kind: 'invalid_parts' });
  await assert.rejects(complete({ crc32: 'AAAAAA==' }), { name: 'BucketError' });
  const missing = [...right.parts, { partNumber: 2, etag: '"none"', crc32: 'AAAAAA==' }];
  await assert.rejects(complete({ parts: missing }), { kind: 'invalid_parts' });
  assert.equal(await bucket.head(key), undefined);
  await complete({});
  const second = await prepare();
  await assert.rejects(bucket.completeMultipartUpload(second.upload, second.right), {
    kind: 'object_exists',
  });
  await bucket.abortMultipartUpload(second.upload);
  await bucket.deleteObject(key);
});

test('the probe leaves no pending upload; other uploads are listed', async () => {
  await using bucket = new S3Bucket(settings(), { timing: quickTiming });
  const { checksumMode } = await bucket.capabilities();
  const upload = await bucket.createMultipartUpload({ key: 'uploads/pending/x', token: 't', checksumMode });
  const pending = [];
  for await (const found of bucket.listMultipartUploads('uploads/')) pending.push(found.s3UploadId);
  assert.deepEqual(pending, [upload.s3UploadId]);
  await bucket.abortMultipartUpload(upload);
});

test('wrong keys and a missing bucket stop the start and name the setting to change', async () => {
  const wrong: [Partial<S3Settings>, RegExp][] = [
    [{ secretAccessKey: 'another-secret' }, /AWS_SECRET_ACCESS_KEY/],
    [{ accessKeyId: 'nobody' }, /AWS_ACCESS_KEY_ID/],
    [{ bucket: 'no-such-bucket' }, /S3_BUCKET_NAME/],
    [{ sse: { wanted: 'AES256', required: true } }, /S3_SSE/],
  ];
  for (const [changes, message] of wrong) {
    await using bucket = new S3Bucket(settings(changes), { timing: quickTiming });
    await assert.rejects(bucket.capabilities(), { kind: 'refused', message });
  }
});
