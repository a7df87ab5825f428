import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { type ClientRequest, type IncomingMessage, request } from 'node:http';
import { describe, test } from 'node:test';
import { HeadObjectCommand, ListMultipartUploadsCommand, ListPartsCommand } from '@aws-sdk/client-s3';
import { cutBody, emptyBody, withoutEtag } from './broken-answer.ts';
import { error, errorIn200, requestExpired } from './error-answer.ts';
import { FaultStand, type StandUpload } from './fault-stand.ts';
import { hold, holdAnswer, holdRequest } from './hold.ts';
import { arriveLate, dropAnswer, dropRequest } from './lost-call.ts';
import { slow, stopReading } from './slow-call.ts';

const MiB = 1024 * 1024;

/** Whether the store has an object at the key. */
async function objectExists({ store }: FaultStand, { id: { Bucket, Key } }: StandUpload): Promise<boolean> {
  const head = store.client.send(new HeadObjectCommand({ Bucket, Key }));
  return await head.then(
    () => true,
    (error: Error) => {
      assert.equal(error.name, 'NotFound');
      return false;
    },
  );
}

async function uploadWithPart(stand: FaultStand): Promise<StandUpload> {
  const upload = await stand.createUpload();
  assert.equal((await upload.putPart(1, 'hello')).status, 200);
  return upload;
}

describe('an error answer', { concurrency: true }, () => {
  test('comes in the store’s stead, as an S3 error document', async () => {
    await using stand = await FaultStand.start();
    const upload = await stand.createUpload();
    const expected = [
      [error('InternalError'), 500, 'InternalError'],
      [error('SlowDown', { retryAfterSeconds: 3 }), 503, 'SlowDown'],
      [error('RequestTimeTooSkewed'), 403, 'RequestTimeTooSkewed'],
      [requestExpired(), 403, 'AccessDenied'],
      [error('NoSuchUpload'), 404, 'NoSuchUpload'],
      [error('ConditionalRequestConflict'), 409, 'ConditionalRequestConflict'],
      [error('PreconditionFailed'), 412, 'PreconditionFailed'],
      [error('RequestTimeout'), 400, 'RequestTimeout'],
      [error('BadDigest'), 400, 'BadDigest'],
    ] as const;
    for (const [fault, status, code] of expected) {
      const rule = stand.faults.next({ operation: 'UploadPart', fault });
      const answer = await upload.putPart(1, 'hello');
      assert.equal(answer.status, status);
      assert.match(await answer.text(), new RegExp(`<Error><Code>${code}</Code><Message>[^<]+</Message>`));
      assert.equal(answer.headers.get('retry-after'), code === 'SlowDown' ? '3' : null);
      assert.equal(rule.firedCount, 1);
      assert.deepEqual(
        rule.calls.map(({ storeStatus, requestBytes }) => [storeStatus, requestBytes]),
        [[null, 5]],
      );
    }
    assert.deepEqual(await upload.storedParts(), []);
    stand.faults.assertAllFired();
  });

  test('is understood by the SDK, also without a body', async () => {
    await using stand = await FaultStand.start();
    const { Bucket, Key } = (await stand.createUpload()).id;
    stand.faults.next({ operation: 'ListMultipartUploads', fault: error('SlowDown') });
    await assert.rejects(stand.client.send(new ListMultipartUploadsCommand({ Bucket })), {
      name: 'SlowDown',
    });
    stand.faults.next({ operation: 'HeadObject', fault: error('PreconditionFailed') });
    await assert.rejects(stand.client.send(new HeadObjectCommand({ Bucket, Key })), {
      $metadata: {
        httpStatusCode: 412,
        requestId: undefined,
        attempts: 1,
        totalRetryDelay: 0,
        extendedRequestId: undefined,
        cfId: undefined,
      },
    });
    stand.faults.assertAllFired();
  });

  test('may come while the body is still being sent', async () => {
    await using stand = await FaultStand.start();
    const upload = await stand.createUpload();
    const rule = stand.faults.next({
      operation: 'UploadPart',
      fault: error('SlowDown', { afterBody: false }),
    });
    const outgoing = request(await upload.partUrl(1), { method: 'PUT', headers: { 'content-length': 10 } });
    outgoing.write('hello');
    const [answer] = (await once(outgoing, 'response')) as [IncomingMessage];
    assert.equal(answer.statusCode, 503);
    answer.resume();
    outgoing.end('world');
    assert.equal(rule.firedCount, 1);
  });

  test('may stand in a 200, before or after the effect', async () => {
    await using stand = await FaultStand.start();
    for (const afterEffect of [false, true]) {
      const upload = await uploadWithPart(stand);
      const rule = stand.faults.next({
        operation: 'CompleteMultipartUpload',
        fault: errorIn200('InternalError', { afterEffect }),
      });
      await assert.rejects(upload.complete(), { name: 'InternalError' });
      assert.equal(await objectExists(stand, upload), afterEffect);
      assert.equal(rule.firedCount, 1);
      assert.equal(rule.calls[0]?.status, 200);
      assert.equal(rule.calls[0]?.storeStatus, afterEffect ? 200 : null);
    }
  });
});

describe('a broken answer', { concurrency: true }, () => {
  test('is empty, though the store has done it', async () => {
    await using stand = await FaultStand.start();
    const upload = await uploadWithPart(stand);
    const rule = stand.faults.next({ operation: 'CompleteMultipartUpload', fault: emptyBody() });
    const { Location, ETag } = await upload
      .complete()
      .catch((error: Error) => ({ Location: error.name, ETag: '' }));
    assert.notEqual(ETag?.length, 34, `${Location}`);
    assert.equal(rule.calls[0]?.status, 200);
    assert.equal(rule.firedCount, 1);
    assert.ok(await objectExists(stand, upload));
  });

  test('is cut in the middle of the body', async () => {
    await using stand = await FaultStand.start();
    const upload = await uploadWithPart(stand);
    const rule = stand.faults.next({ operation: 'CompleteMultipartUpload', fault: cutBody() });
    await assert.rejects(upload.complete(), /aborted|ECONNRESET/);
    assert.equal(rule.firedCount, 1);
    assert.ok(await objectExists(stand, upload));
  });

  test('is cut in the middle of the headers, where it has no body', async () => {
    await using stand = await FaultStand.start();
    const upload = await stand.createUpload();
    const rule = stand.faults.next({ operation: 'UploadPart', fault: cutBody() });
    await assert.rejects(upload.putPart(1, 'hello'), TypeError);
    assert.equal(rule.firedCount, 1);
    assert.equal((await upload.storedParts()).length, 1);
  });

  test('lacks the ETag of a part, or of the object', async () => {
    await using stand = await FaultStand.start();
    const upload = await stand.createUpload();
    stand.faults.next({ operation: 'UploadPart', fault: withoutEtag() });
    const answer = await upload.putPart(1, 'hello');
    assert.equal(answer.status, 200);
    assert.equal(answer.headers.get('etag'), null);
    const [part] = await upload.storedParts();
    assert.equal(part?.ETag?.length, 34);
    stand.faults.next({ operation: 'CompleteMultipartUpload', fault: withoutEtag() });
    const { ETag, Key } = await upload.complete();
    assert.equal(ETag, undefined);
    assert.equal(Key, upload.id.Key);
    stand.faults.next({ operation: 'HeadObject', fault: withoutEtag() });
    const { Bucket } = upload.id;
    const head = await stand.client.send(new HeadObjectCommand({ Bucket, Key }));
    assert.equal(head.ETag, undefined);
    assert.equal(head.ContentLength, 5);
    stand.faults.assertAllFired();
  });

  test('is the refusal itself, where the store refused', async () => {
    await using stand = await FaultStand.start();
    const upload = await uploadWithPart(stand);
    for (const fault of [emptyBody(), cutBody(), errorIn200('InternalError', { afterEffect: true })]) {
      const rule = stand.faults.next({ operation: 'CompleteMultipartUpload', fault });
      await assert.rejects(upload.complete([{ PartNumber: 9, ETag: 'none' }]), { name: 'InvalidPart' });
      assert.equal(rule.calls.length, 1);
      assert.equal(rule.firedCount, 0);
    }
  });
});

describe('a lost call', { concurrency: true }, () => {
  test('is lost before the store heard of it, or after it has done it', async () => {
    await using stand = await FaultStand.start();
    for (const [fault, done] of [
      [dropRequest(), false],
      [dropAnswer(), true],
    ] as const) {
      const upload = await uploadWithPart(stand);
      const rule = stand.faults.next({ operation: 'CompleteMultipartUpload', fault });
      await assert.rejects(upload.complete(), { code: 'ECONNRESET' });
      await rule.fired();
      assert.equal(await objectExists(stand, upload), done);
      assert.equal(rule.calls[0]?.storeStatus, done ? 200 : null);
      assert.equal(rule.calls[0]?.status, null);
    }
  });

  test('arrives late, when its client has long gone', async () => {
    await using stand = await FaultStand.start();
    const upload = await uploadWithPart(stand);
    const rule = stand.faults.next({ operation: 'UploadPart', fault: arriveLate() });
    await assert.rejects(upload.putPart(1, 'late'), TypeError);
    await rule.fired();
    assert.equal((await upload.storedParts())[0]?.Size, 5);
    await rule.release();
    assert.equal((await upload.storedParts())[0]?.Size, 4);
    assert.equal(rule.calls[0]?.storeStatus, 200);
  });

  test('that is not released never arrives', async () => {
    await using stand = await FaultStand.start();
    const upload = await stand.createUpload();
    const rule = stand.faults.next({ operation: 'UploadPart', fault: arriveLate() });
    await assert.rejects(upload.putPart(1, 'late'), TypeError);
    rule.remove();
    await stand.faults.ended({ operation: 'UploadPart' });
    assert.deepEqual(await upload.storedParts(), []);
  });
});

describe('a held call', { concurrency: true }, () => {
  test('stops when it has arrived, and when the store has done it', async () => {
    await using stand = await FaultStand.start();
    const upload = await uploadWithPart(stand);
    const seen: unknown[] = [];
    const rule = stand.faults.next({
      operation: 'CompleteMultipartUpload',
      fault: hold({
        before: async () => void seen.push(await objectExists(stand, upload)),
        after: async (call, answer) => {
          seen.push(await objectExists(stand, upload), call.key, answer.status);
          assert.match(await answer.text(), /<CompleteMultipartUploadResult/);
        },
      }),
    });
    const { ETag } = await upload.complete();
    assert.equal(ETag?.length, 36);
    assert.deepEqual(seen, [false, true, upload.id.Key, 200]);
    assert.equal(rule.firedCount, 1);
  });

  test('may be dropped at either moment', async () => {
    await using stand = await FaultStand.start();
    for (const moment of ['before', 'after'] as const) {
      const upload = await uploadWithPart(stand);
      const rule = stand.faults.next({
        operation: 'CompleteMultipartUpload',
        fault: hold({ [moment]: () => 'drop' as const }),
      });
      await assert.rejects(upload.complete(), { code: 'ECONNRESET' });
      assert.equal(await objectExists(stand, upload), moment === 'after');
      assert.equal(rule.firedCount, 1);
    }
  });

  test('goes on when it is released', async () => {
    await using stand = await FaultStand.start();
    for (const [fault, done] of [
      [holdRequest(), false],
      [holdAnswer(), true],
    ] as const) {
      const upload = await uploadWithPart(stand);
      const rule = stand.faults.next({ operation: 'CompleteMultipartUpload', fault });
      const completing = upload.complete();
      await rule.fired();
      assert.equal(await objectExists(stand, upload), done);
      await rule.release();
      assert.equal((await completing).Key, upload.id.Key);
    }
  });

  test('tells at the end what a hook threw', async () => {
    const stand = await FaultStand.start();
    const upload = await uploadWithPart(stand);
    const mistake = new Error('a test of mine');
    const before = () => Promise.reject(mistake);
    stand.faults.next({ operation: 'CompleteMultipartUpload', fault: hold({ before }) });
    await assert.rejects(upload.complete(), { code: 'ECONNRESET' });
    await assert.rejects(stand[Symbol.asyncDispose](), (error: AggregateError) =>
      error.errors.includes(mistake),
    );
  });
});

describe('a slow call', { concurrency: true }, () => {
  test('is passed on late, and answered late', async () => {
    await using stand = await FaultStand.start();
    const upload = await stand.createUpload();
    const { client } = stand;
    for (const options of [{ beforeRequestMs: 80 }, { beforeAnswerMs: 80 }]) {
      const rule = stand.faults.next({ operation: 'ListParts', fault: slow(options) });
      const startedAt = performance.now();
      await client.send(new ListPartsCommand(upload.id));
      assert.ok(performance.now() - startedAt >= 79);
      assert.equal(rule.firedCount, 1);
    }
  });

  test('trickles', async () => {
    await using stand = await FaultStand.start();
    const upload = await stand.createUpload();
    const rule = stand.faults.next({ operation: 'UploadPart', fault: slow({ bytesPerSecond: 4 * MiB }) });
    const startedAt = performance.now();
    const answer = await upload.putPart(1, randomBytes(MiB));
    assert.equal(answer.status, 200);
    assert.ok(performance.now() - startedAt >= 240);
    assert.equal(rule.firedCount, 1);
    assert.equal((await upload.storedParts())[0]?.Size, MiB);
  });

  test('is not read any further, until it is released', async () => {
    await using stand = await FaultStand.start();
    const upload = await stand.createUpload();
    for (const afterBytes of [0, MiB]) {
      const sizeBytes = 64 * MiB;
      const rule = stand.faults.next({ operation: 'UploadPart', fault: stopReading({ afterBytes }) });
      const outgoing = request(await upload.partUrl(1), {
        method: 'PUT',
        headers: { 'content-length': sizeBytes },
      });
      outgoing.write(Buffer.alloc(sizeBytes));
      await rule.fired();
      await stalled(outgoing);
      const read = rule.calls[0]?.requestBytes ?? 0;
      assert.ok(read >= afterBytes && read < afterBytes + MiB, `${read} bytes were read`);
      outgoing.end();
      await Promise.all([rule.release(), once(outgoing, 'response').then(([answer]) => answer.resume())]);
      assert.equal(rule.calls[0]?.status, 200);
      assert.equal((await upload.storedParts())[0]?.Size, sizeBytes);
    }
  });

  test('that is not read any further does not notice its client’s leaving, and ends once released', async () => {
    await using stand = await FaultStand.start();
    const upload = await stand.createUpload();
    const rule = stand.faults.next({ operation: 'UploadPart', fault: stopReading() });
    const leaving = new AbortController();
    const put = upload.putPart(1, Buffer.alloc(32 * MiB), leaving.signal);
    await rule.fired();
    leaving.abort();
    await assert.rejects(put, { name: 'AbortError' });
    await rule.release();
    const call = await stand.faults.ended({ operation: 'UploadPart' });
    assert.equal(call.status, null);
  });
});

/** Waits until the operating system accepts no more of the body. */
async function stalled({ socket }: ClientRequest): Promise<void> {
  for (let before = -1; before !== socket?.bytesWritten;) {
    before = socket?.bytesWritten ?? 0;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
