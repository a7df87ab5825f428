import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  DeleteBucketEncryptionCommand,
  DeleteObjectCommand,
  GetBucketEncryptionCommand,
  GetBucketVersioningCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
  ListPartsCommand,
  PutBucketEncryptionCommand,
  PutBucketVersioningCommand,
  PutObjectCommand,
  PutPublicAccessBlockCommand,
  UploadPartCommand,
} from '@aws-sdk/client-s3';
import { FaultStand } from '../s3/fault-stand.ts';
import {
  breaksOnceEncrypted,
  failsEncryptedUploads,
  failsPublicAccessBlock,
  hasNoVersioning,
} from './bucket-settings.ts';
import { refusesChecksumOfEmptyObject, refusesEmptyParts } from './empty-objects.ts';
import { closesAfterEveryAnswer, dropsUserMetadata, listsPartsWithoutChecksums } from './poor-answers.ts';
import { limitsBodies, rewritesHost } from './reverse-proxies.ts';
import {
  expiresUploads,
  neverCompletesFirstUpload,
  neverListsFirstUpload,
} from './uploads-that-never-end.ts';
import { keepsVersions } from './versioned-bucket.ts';

const isStatus = (code: number) => (error: { $metadata?: { httpStatusCode?: number } }) =>
  error.$metadata?.httpStatusCode === code;

describe('a store that', { concurrency: true }, () => {
  test('breaks once default encryption is on shows the setting, and is well again without it', async () => {
    await using stand = await FaultStand.start(breaksOnceEncrypted);
    const { client } = stand;
    const Bucket = stand.store.bucket;
    const put = () => client.send(new PutObjectCommand({ Bucket, Key: 'k', Body: 'hello' }));
    const get = () => client.send(new GetBucketEncryptionCommand({ Bucket }));
    await put();
    await assert.rejects(get(), { name: 'ServerSideEncryptionConfigurationNotFoundError' });
    const Rules = [{ ApplyServerSideEncryptionByDefault: { SSEAlgorithm: 'AES256' as const } }];
    await client.send(
      new PutBucketEncryptionCommand({ Bucket, ServerSideEncryptionConfiguration: { Rules } }),
    );
    const { ServerSideEncryptionConfiguration: shown } = await get();
    assert.deepEqual(shown?.Rules, Rules);
    await assert.rejects(put(), isStatus(500));
    await assert.rejects(stand.createUpload(), isStatus(500));
    await client.send(new DeleteBucketEncryptionCommand({ Bucket }));
    await put();
  });

  test('answers 500 to an upload that asks for encryption takes others', async () => {
    await using stand = await FaultStand.start(failsEncryptedUploads);
    const Bucket = stand.store.bucket;
    const encrypted = { Bucket, Key: 'k', ServerSideEncryption: 'AES256' as const };
    await assert.rejects(stand.client.send(new CreateMultipartUploadCommand(encrypted)), isStatus(500));
    await stand.createUpload();
  });

  test('answers 501 to versioning does so to reading and writing', async () => {
    await using stand = await FaultStand.start(hasNoVersioning);
    const Bucket = stand.store.bucket;
    const VersioningConfiguration = { Status: 'Enabled' as const };
    for (const command of [
      stand.client.send(new GetBucketVersioningCommand({ Bucket })),
      stand.client.send(new PutBucketVersioningCommand({ Bucket, VersioningConfiguration })),
    ]) {
      await assert.rejects(command, { name: 'VersioningNotConfigured' });
    }
  });

  test('answers 500 to a block of public access', async () => {
    await using stand = await FaultStand.start(failsPublicAccessBlock);
    const block = { Bucket: stand.store.bucket, PublicAccessBlockConfiguration: { BlockPublicAcls: true } };
    await assert.rejects(stand.client.send(new PutPublicAccessBlockCommand(block)), isStatus(500));
  });

  test('refuses an empty part takes one with a byte', async () => {
    await using stand = await FaultStand.start(refusesEmptyParts);
    const upload = await stand.createUpload();
    const refusal = await upload.putPart(1, '');
    assert.deepEqual([refusal.status, /Part of 0 bytes/.test(await refusal.text())], [400, true]);
    assert.equal((await upload.putPart(1, '1')).status, 200);
  });

  test('refuses the checksum of an empty object completes it without', async () => {
    await using stand = await FaultStand.start(refusesChecksumOfEmptyObject);
    const upload = await stand.createUpload();
    await upload.putPart(1, '');
    const [part] = await upload.storedParts();
    const Parts = [{ PartNumber: 1, ETag: part?.ETag }];
    const complete = { ...upload.id, MultipartUpload: { Parts } };
    await assert.rejects(
      stand.client.send(new CompleteMultipartUploadCommand({ ...complete, ChecksumCRC32: 'AAAAAA==' })),
      { name: 'BadDigest' },
    );
    await stand.client.send(new CompleteMultipartUploadCommand(complete));
  });

  test('expires uploads has none left of that age', async () => {
    await using stand = await FaultStand.start(expiresUploads({ afterMs: 0 }));
    const upload = await stand.createUpload();
    assert.equal((await upload.putPart(1, 'late')).status, 404);
    const { Uploads } = await stand.client.send(
      new ListMultipartUploadsCommand({ Bucket: upload.id.Bucket }),
    );
    assert.equal(Uploads, undefined);
  });

  test('never completes, or lists, one upload is well with the next', async () => {
    for (const double of [neverCompletesFirstUpload, neverListsFirstUpload]) {
      await using stand = await FaultStand.start(double);
      const run = async (): Promise<void> => {
        const upload = await stand.createUpload();
        await upload.putPart(1, 'part');
        await stand.client.send(new ListPartsCommand(upload.id));
        await upload.complete();
      };
      await assert.rejects(run(), isStatus(500));
      await run();
    }
  });

  test('closes the connection after every answer', async () => {
    await using stand = await FaultStand.start(closesAfterEveryAnswer);
    const upload = await stand.createUpload();
    assert.equal((await upload.putPart(1, 'part')).headers.get('connection'), 'close');
  });

  test('lists parts without their checksums lists the rest', async () => {
    await using stand = await FaultStand.start(listsPartsWithoutChecksums);
    const create = { Bucket: stand.store.bucket, Key: 'k', ChecksumAlgorithm: 'CRC32' as const };
    const { UploadId } = await stand.client.send(new CreateMultipartUploadCommand(create));
    const id = { Bucket: create.Bucket, Key: 'k', UploadId };
    const put = { ...id, PartNumber: 1, Body: 'hello', ChecksumAlgorithm: 'CRC32' as const };
    await stand.client.send(new UploadPartCommand(put));
    const { Parts: stored } = await stand.store.client.send(new ListPartsCommand(id));
    const { Parts: shown } = await stand.client.send(new ListPartsCommand(id));
    assert.notEqual(stored?.[0]?.ChecksumCRC32, undefined);
    assert.deepEqual([shown?.[0]?.Size, shown?.[0]?.ChecksumCRC32], [5, undefined]);
  });

  test('drops user metadata shows the object without', async () => {
    await using stand = await FaultStand.start(dropsUserMetadata);
    const object = { Bucket: stand.store.bucket, Key: 'k' };
    await stand.client.send(new PutObjectCommand({ ...object, Body: 'hello', Metadata: { token: 'x' } }));
    const { Metadata, ContentLength } = await stand.client.send(new HeadObjectCommand(object));
    assert.deepEqual([Metadata, ContentLength], [{}, 5]);
  });

  test('is behind a limit of bodies answers 413 to a larger one', async () => {
    await using stand = await FaultStand.start(limitsBodies({ bytes: 4 }));
    const upload = await stand.createUpload();
    assert.equal((await upload.putPart(1, 'four')).status, 200);
    const refusal = await upload.putPart(1, 'five!');
    assert.deepEqual([refusal.status, /nginx/.test(await refusal.text())], [413, true]);
  });

  test('is behind a proxy that rewrites Host finds every signature wrong', async () => {
    await using stand = await FaultStand.start(rewritesHost);
    await assert.rejects(stand.createUpload(), { name: 'SignatureDoesNotMatch' });
  });

  test('keeps versions shows each, whatever became of the key', async () => {
    await using stand = await FaultStand.start(keepsVersions);
    const { client } = stand;
    const object = { Bucket: stand.store.bucket, Key: 'k' };
    const put = (Body: string) => client.send(new PutObjectCommand({ ...object, Body, Metadata: { Body } }));
    const { VersionId: first } = await put('one');
    const { VersionId: second } = await put('second');
    assert.notEqual(first, second);
    const { DeleteMarker } = await client.send(new DeleteObjectCommand(object));
    assert.equal(DeleteMarker, true);
    await assert.rejects(client.send(new HeadObjectCommand(object)), isStatus(404));
    for (const [VersionId, text] of [
      [first, 'one'],
      [second, 'second'],
    ] as const) {
      const head = await client.send(new HeadObjectCommand({ ...object, VersionId }));
      assert.deepEqual(
        [head.ContentLength, head.VersionId, head.Metadata],
        [text.length, VersionId, { body: text }],
      );
      const { Body } = await client.send(new GetObjectCommand({ ...object, VersionId }));
      assert.equal(await Body?.transformToString(), text);
    }
    const { Status } = await client.send(new GetBucketVersioningCommand({ Bucket: object.Bucket }));
    assert.equal(Status, 'Enabled');
    await client.send(new DeleteObjectCommand({ ...object, VersionId: first }));
    await assert.rejects(client.send(new HeadObjectCommand({ ...object, VersionId: first })), isStatus(404));
  });
});
