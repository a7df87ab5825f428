import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import { describe, test } from 'node:test';
import { crc32 } from 'node:zlib';
import {
  CompleteMultipartUploadCommand,
  type CompleteMultipartUploadCommandInput,
  CreateMultipartUploadCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListPartsCommand,
  UploadPartCommand,
} from '@aws-sdk/client-s3';
import { randomFile } from '../../../harness/random-file.ts';
import { Stage } from '../../../harness/stage.ts';
import { type TemporaryDirectory, temporaryDirectory } from '../../../harness/temporary-directory.ts';
import { DiscardingStore } from './discarding-store.ts';

const MiB = 1024 * 1024;
const bytes = randomBytes(11 * MiB);
const pieces = [bytes.subarray(0, 5 * MiB), bytes.subarray(5 * MiB, 10 * MiB), bytes.subarray(10 * MiB)];

function crc32Of(data: Uint8Array): string {
  const value = Buffer.alloc(4);
  value.writeUInt32BE(crc32(data));
  return value.toString('base64');
}

async function bytesBelow(directory: TemporaryDirectory): Promise<string[]> {
  const entries = await readdir(directory.path, { recursive: true });
  return entries.filter((name) => /blobs\/[^/]+\/|tmp\//.test(name));
}

describe('a discarding store', { concurrency: true }, () => {
  test('holds sizes, checksums and metadata of what it took, and no bytes', async () => {
    await using directory = await temporaryDirectory();
    await using store = await DiscardingStore.start(directory.path);
    const upload = await createUpload(store, { Metadata: { token: 'abc' } });
    const Parts = [];
    for (const [at, piece] of pieces.entries()) Parts.push(await upload.part(at + 1, piece));
    assert.equal(new Set(Parts.map(({ ETag }) => ETag)).size, 3);
    const listed = await store.client.send(new ListPartsCommand(upload.id));
    assert.deepEqual(
      listed.Parts?.map(({ PartNumber, Size, ChecksumCRC32 }) => [PartNumber, Size, ChecksumCRC32]),
      pieces.map((piece, at) => [at + 1, piece.length, crc32Of(piece)]),
    );
    await upload.complete({
      MultipartUpload: { Parts },
      ChecksumCRC32: crc32Of(bytes),
      MpuObjectSize: bytes.length,
    });
    const { Bucket, Key } = upload.id;
    const head = await store.client.send(new HeadObjectCommand({ Bucket, Key, ChecksumMode: 'ENABLED' }));
    assert.equal(head.ContentLength, bytes.length);
    assert.equal(head.ChecksumCRC32, crc32Of(bytes));
    assert.equal(head.ChecksumType, 'FULL_OBJECT');
    assert.deepEqual(head.Metadata, { token: 'abc' });
    assert.deepEqual(await bytesBelow(directory), []);
    await assert.rejects(store.client.send(new GetObjectCommand({ Bucket, Key })), {
      name: 'NotImplemented',
    });
  });

  test('refuses what the embedded store refuses', async () => {
    await using directory = await temporaryDirectory();
    await using store = await DiscardingStore.start(directory.path);
    const upload = await createUpload(store);
    await assert.rejects(upload.part(1, pieces[0], crc32Of(bytes)), { name: 'BadDigest' });
    await assert.rejects(upload.part(10_001, 'x'), { name: 'InvalidArgument' });
    const small = await upload.part(1, 'x');
    const last = await upload.part(2, 'y');
    const both = { MultipartUpload: { Parts: [small, last] } };
    await assert.rejects(upload.complete(both), { name: 'EntityTooSmall' });
    const wrongEtag = { MultipartUpload: { Parts: [{ ...last, PartNumber: 1 }] } };
    await assert.rejects(upload.complete(wrongEtag), { name: 'InvalidPart' });
    const first = { MultipartUpload: { Parts: [small] } };
    await assert.rejects(upload.complete({ ...first, MpuObjectSize: 2 }), { name: 'InvalidRequest' });
    await assert.rejects(upload.complete({ ...first, ChecksumCRC32: crc32Of(bytes) }), { name: 'BadDigest' });
    await upload.complete(first);
    await assert.rejects(upload.part(1, 'x'), { name: 'NoSuchUpload' });
  });

  test('has MD5s as ETags where a part carries one, or nothing else', async () => {
    await using directory = await temporaryDirectory();
    await using store = await DiscardingStore.start(directory.path);
    const { Bucket, Key } = { Bucket: store.bucket, Key: 'plain' };
    const { UploadId } = await store.client.send(new CreateMultipartUploadCommand({ Bucket, Key }));
    const part = (ContentMD5?: string) =>
      store.client.send(
        new UploadPartCommand({ Bucket, Key, UploadId, PartNumber: 1, Body: 'hello', ContentMD5 }),
      );
    const md5 = createHash('md5').update('hello').digest();
    assert.equal((await part()).ETag, `"${md5.toString('hex')}"`);
    assert.equal((await part(md5.toString('base64'))).ETag, `"${md5.toString('hex')}"`);
    await assert.rejects(part(Buffer.alloc(16).toString('base64')), { name: 'BadDigest' });
  });

  test('that trusts takes a large part at its word, and checks a small one', async () => {
    await using directory = await temporaryDirectory();
    await using store = await DiscardingStore.startTrusting(directory.path);
    const upload = await createUpload(store);
    await assert.rejects(upload.part(1, 'small', crc32Of(bytes)), { name: 'BadDigest' });
    const claimed = crc32Of(Buffer.from('something else'));
    const part = await upload.part(1, bytes, claimed);
    const { Parts } = await store.client.send(new ListPartsCommand(upload.id));
    assert.deepEqual(
      Parts?.map(({ Size, ChecksumCRC32 }) => [Size, ChecksumCRC32]),
      [[bytes.length, claimed]],
    );
    await upload.complete({ MultipartUpload: { Parts: [part] }, ChecksumCRC32: claimed });
  });

  for (const mode of ['auto', 'md5'] as const) {
    test(`stands a server’s trial, and takes a pull (S3_CHECKSUM=${mode})`, async () => {
      await using stage = await Stage.start({ s3: DiscardingStore.start, env: { S3_CHECKSUM: mode } });
      const file = stage.directory.join('large.bin');
      await randomFile(file, 32 * MiB);
      await stage.startAgent('till', ['--file', file]);
      const record = await stage.pull('till', {});
      assert.equal(record.status, 'completed', record.message ?? '');
      assert.equal(record.verification, mode === 'auto' ? 'full_object' : 'parts');
      const puts = (await stage.storeRequests()).filter(
        ({ operation, key }) => operation === 'UploadPart' && key === record.key,
      );
      assert.equal(
        puts.reduce((sum, { bytes_in: bytesIn }) => sum + bytesIn, 0),
        32 * MiB,
      );
      assert.deepEqual(await stage.openMultipartUploads(), []);
    });
  }
});

async function createUpload(store: DiscardingStore, traits: { Metadata?: Record<string, string> } = {}) {
  const place = { Bucket: store.bucket, Key: 'key' };
  const { UploadId } = await store.client.send(
    new CreateMultipartUploadCommand({
      ...{ ...place, ...traits, ChecksumAlgorithm: 'CRC32', ChecksumType: 'FULL_OBJECT' },
    }),
  );
  const id = { ...place, UploadId };
  return {
    id,
    part: async (PartNumber: number, data: Uint8Array | string | undefined, claimed?: string) => {
      const Body = Buffer.from(data ?? '');
      const ChecksumCRC32 = claimed ?? crc32Of(Body);
      const command = new UploadPartCommand({ ...id, PartNumber, Body, ChecksumCRC32 });
      const { ETag } = await store.client.send(command);
      return { PartNumber, ETag };
    },
    complete: (claims: Partial<CompleteMultipartUploadCommandInput>) =>
      store.client.send(
        new CompleteMultipartUploadCommand({ ...id, ChecksumType: 'FULL_OBJECT', ...claims }),
      ),
  };
}
