import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { GetObjectCommand, PutObjectCommand } from '@aws-sdk/client-s3';
import type { ErrorCode, UploadStatus } from '@backhaul/protocol';
import { cutBody, emptyBody, withoutEtag } from './injection/s3/broken-answer.ts';
import { error, errorIn200 } from './injection/s3/error-answer.ts';
import { hold } from './injection/s3/hold.ts';
import { dropAnswer, dropRequest } from './injection/s3/lost-call.ts';
import type { S3Fault } from './injection/s3/s3-fault.ts';
import { objectSize } from '../harness/object-size.ts';
import { randomFile } from '../harness/random-file.ts';
import { Stage } from '../harness/stage.ts';

const MiB = 1024 * 1024;

interface Case {
  readonly name: string;
  readonly fault: S3Fault;
  readonly times: number;
  readonly status: UploadStatus;
  readonly error?: ErrorCode;
}

/** Outcomes of Complete and the required end of the upload. */
const cases: readonly Case[] = [
  { name: 'a lost answer', fault: dropAnswer(), times: 1, status: 'completed' },
  { name: 'a lost request', fault: dropRequest(), times: 2, status: 'completed' },
  {
    name: '200 with InternalError, nothing done',
    fault: errorIn200('InternalError'),
    times: 2,
    status: 'completed',
  },
  {
    name: '200 with InternalError, and yet done',
    fault: errorIn200('InternalError', { afterEffect: true }),
    times: 1,
    status: 'completed',
  },
  { name: '200 with an empty body', fault: emptyBody(), times: 1, status: 'completed' },
  { name: '200 with a body cut off', fault: cutBody(), times: 1, status: 'completed' },
  { name: '200 without an ETag', fault: withoutEtag(), times: 1, status: 'completed' },
  { name: 'a burst of 503 SlowDown', fault: error('SlowDown'), times: 6, status: 'completed' },
  { name: '500 InternalError', fault: error('InternalError'), times: 3, status: 'completed' },
  { name: '404 NoSuchUpload', fault: error('NoSuchUpload'), times: 1, status: 'completed' },
  {
    name: '409 ConditionalRequestConflict',
    fault: error('ConditionalRequestConflict'),
    times: 1,
    status: 'completed',
  },
  { name: '400 InvalidPart', fault: error('InvalidPart'), times: 1, status: 'completed' },
  {
    name: '403 AccessDenied',
    fault: error('AccessDenied'),
    times: 1,
    status: 'failed',
    error: 'storage_refused',
  },
  {
    name: '403 RequestTimeTooSkewed',
    fault: error('RequestTimeTooSkewed'),
    times: 2,
    status: 'completed',
  },
];

describe('Complete answered by', { concurrency: 2 }, () => {
  for (const { name, fault, times, status, error: code } of cases) {
    test(`${name} ends ${status}`, async (t) => {
      await using stage = await Stage.start({ faults: true });
      const file = stage.directory.join('report.bin');
      const sha256 = await randomFile(file, 12 * MiB);
      await stage.startAgent('till', ['--file', file]);
      const rule = stage.faults.next({ operation: 'CompleteMultipartUpload', times, fault });
      const record = await stage.pull('till', {});
      t.diagnostic(`${rule.firedCount} faults fired: ${record.status} ${record.error ?? ''}`);
      stage.faults.assertAllFired();
      assert.equal(record.status, status, JSON.stringify(record));
      assert.equal(record.error, code ?? null);
      const calls = stage.faults.calls.filter(
        ({ operation, key }) => operation === 'CompleteMultipartUpload' && key === record.key,
      );
      assert.ok(calls.length <= times + 2, `${calls.length} calls: the retries are bounded`);
      if (status === 'completed') assert.equal(record.sha256, sha256);
      assert.equal(await objectSize(stage.s3, record.key), status === 'completed' ? 12 * MiB : undefined);
      await stage.noOpenMultipartUploads();
    });
  }

  for (const { name, fault } of [
    { name: 'a lost answer', fault: dropAnswer() },
    { name: '404 NoSuchUpload', fault: error('NoSuchUpload') },
    { name: '412 PreconditionFailed', fault: error('PreconditionFailed') },
  ]) {
    test(`${name}, with another’s object at the key, is no success`, async () => {
      await using stage = await Stage.start({ faults: true });
      const file = stage.directory.join('report.bin');
      await randomFile(file, 12 * MiB);
      await stage.startAgent('till', ['--file', file]);
      const { s3 } = stage;
      // Has the same size, so only the token differs.
      const older = Buffer.alloc(12 * MiB, 7);
      const planted = stage.faults.next({
        operation: 'CreateMultipartUpload',
        matching: ({ key }) => key?.startsWith('uploads/') ?? false,
        fault: hold({
          before: async ({ key = '' }) => {
            await s3.client.send(new PutObjectCommand({ Bucket: s3.bucket, Key: key, Body: older }));
          },
        }),
      });
      stage.faults.next({ operation: 'CompleteMultipartUpload', fault });
      const record = await stage.pull('till', {});
      stage.faults.assertAllFired();
      assert.equal(planted.firedCount, 1);
      assert.equal(record.status, 'failed', JSON.stringify(record));
      assert.ok(record.error === 'storage_refused' || record.error === 'upload_gone', record.error ?? '');
      const { Body } = await s3.client.send(new GetObjectCommand({ Bucket: s3.bucket, Key: record.key }));
      assert.ok(
        older.equals((await Body?.transformToByteArray()) ?? Buffer.alloc(0)),
        'and it was not touched',
      );
      await stage.noOpenMultipartUploads();
    });
  }

  test('503 to every request ends at the deadline, by its name', async () => {
    await using stage = await Stage.start({ faults: true });
    const file = stage.directory.join('report.bin');
    await randomFile(file, 6 * MiB);
    await stage.startAgent('till', ['--file', file]);
    const rule = stage.faults.next({
      operation: 'CompleteMultipartUpload',
      times: Infinity,
      fault: error('SlowDown'),
    });
    const record = await stage.pull('till', { expires_in: 5 });
    assert.ok(rule.firedCount >= 3, `${rule.firedCount} calls`);
    assert.ok(rule.firedCount <= 40, `${rule.firedCount} calls in 5 s are no backoff`);
    assert.equal(record.status, 'failed');
    assert.equal(record.error, 'storage_unavailable');
    stage.faults.clear();
    await stage.noOpenMultipartUploads();
  });
});
