import assert from 'node:assert/strict';
import { test } from 'node:test';
import { errorXml, FakeS3, quickTiming } from '../../../../../test/doubles/fake-s3.ts';
import { S3Bucket } from '../../s3/s3-bucket.ts';
import { systemClock } from '../../system-clock.ts';
import { type BucketOperation, meteredBucket, stoppableBucket } from './bucket-wrappers.ts';
import type { Bucket, CallOptions, VersionOptions } from './bucket.ts';

const upload = { key: 'k', s3UploadId: 'u' };
const create = { key: 'k', token: 't', checksumMode: 'none' } as const;
const completion = { parts: [], sizeBytes: 0, crc32: 'AAAAAA==', checksumMode: 'none' } as const;

/** One call of each operation. */
const calls: Readonly<Record<BucketOperation, (bucket: Bucket, options?: CallOptions) => Promise<unknown>>> =
  {
    capabilities: (bucket, options) => bucket.capabilities(options),
    createMultipartUpload: (bucket, options) => bucket.createMultipartUpload(create, options),
    signParts: (bucket) => bucket.signParts(upload, [], 'none'),
    listParts: (bucket, options) => bucket.listParts(upload, options),
    completeMultipartUpload: (bucket, options) => bucket.completeMultipartUpload(upload, completion, options),
    putEmptyObject: (bucket, options) => bucket.putEmptyObject(create, options),
    listMultipartUploads: (bucket, options) =>
      Array.fromAsync(bucket.listMultipartUploads('uploads/', options)),
    abortMultipartUpload: (bucket, options) => bucket.abortMultipartUpload(upload, options),
    head: (bucket, options) => bucket.head('k', { versionId: 'v', ...options }),
    deleteObject: (bucket, options) => bucket.deleteObject('k', { versionId: 'v', ...options }),
    signGet: (bucket) => bucket.signGet({ key: 'k', versionId: null, fileName: 'f' }),
    ping: (bucket, options) => bucket.ping(options),
  };
const operations = Object.keys(calls) as BucketOperation[];

interface Received {
  readonly operation: string;
  readonly given: readonly unknown[];
}

/** A bucket that records the calls that reach it. */
function recordingBucket(received: Received[]): Bucket {
  const record =
    (operation: string) =>
    (...given: unknown[]) => {
      received.push({ operation, given });
      return operation === 'listMultipartUploads' ? (async function* () {})() : Promise.resolve(operation);
    };
  const methods = Object.fromEntries(operations.map((operation) => [operation, record(operation)]));
  return { name: 'recorded', ...methods } as unknown as Bucket;
}

test('a wrapper forwards every operation with its arguments, and returns the result', async () => {
  for (const wrap of [
    (bucket: Bucket) => stoppableBucket(bucket, new AbortController().signal),
    (bucket: Bucket) => meteredBucket(bucket, { clock: systemClock, observe: () => {} }),
  ]) {
    const direct: Received[] = [];
    const wrapped: Received[] = [];
    const bucket = wrap(recordingBucket(wrapped));
    assert.equal(bucket.name, 'recorded');
    for (const operation of operations) {
      const expected = await calls[operation](recordingBucket(direct));
      assert.deepEqual(await calls[operation](bucket), expected);
    }
    const withoutSignals = ({ operation, given }: Received): Received => ({
      operation,
      given: given.map((value) => {
        if (typeof value !== 'object' || value === null || !('signal' in value)) return value;
        const { signal: _, ...others } = value;
        return Object.keys(others).length === 0 ? undefined : others;
      }),
    });
    assert.deepEqual(wrapped.map(withoutSignals), direct);
  }
});

test('the stop of a stoppable bucket aborts every request, and so does the signal of the caller', async () => {
  const signalOf = ({ given }: Received) => (given.at(-1) as VersionOptions | undefined)?.signal;
  const requests = operations.filter((operation) => !operation.startsWith('sign'));
  for (const operation of requests) {
    for (const aborted of ['stop', 'caller', 'both'] as const) {
      const stop = new AbortController();
      const caller = new AbortController();
      const received: Received[] = [];
      const bucket = stoppableBucket(recordingBucket(received), stop.signal);
      await calls[operation](bucket, aborted === 'stop' ? undefined : { signal: caller.signal });
      const [call] = received;
      assert.ok(call !== undefined);
      assert.equal(signalOf(call)?.aborted, false, operation);
      (aborted === 'caller' ? caller : stop).abort();
      assert.equal(signalOf(call)?.aborted, true, `${operation} by ${aborted}`);
    }
  }
});

test('each call is reported with its outcome and duration', async () => {
  await using fake = await FakeS3.start();
  await using inner = new S3Bucket(fake.settings(), { timing: quickTiming });
  const seen: string[] = [];
  const bucket = meteredBucket(inner, {
    clock: systemClock,
    observe: (operation, outcome, seconds) => {
      assert.ok(seconds >= 0 && seconds < 60);
      seen.push(`${operation} ${outcome}`);
    },
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
