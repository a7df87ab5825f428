import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { Agent, type IncomingMessage, request } from 'node:http';
import { buffer } from 'node:stream/consumers';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { GetObjectCommand, HeadObjectCommand, ListObjectsV2Command } from '@aws-sdk/client-s3';
import { getSignedUrl } from '@aws-sdk/s3-request-presigner';
import { hasExternalStore } from '../../../harness/object-store.ts';
import { dropAnswer } from './lost-call.ts';
import { error } from './error-answer.ts';
import { FaultStand } from './fault-stand.ts';

const MiB = 1024 * 1024;

describe('a fault proxy without faults', { concurrency: true }, () => {
  test('passes everything, and signatures hold at the store', async () => {
    await using stand = await FaultStand.start();
    const { faults, client } = stand;
    const upload = await stand.createUpload('a b/ü.bin');
    const first = randomBytes(5 * MiB);
    const answers = await Promise.all([upload.putPart(1, first), upload.putPart(2, 'end')]);
    assert.deepEqual(
      answers.map(({ status }) => status),
      [200, 200],
    );
    await upload.complete();
    const { Bucket, Key } = upload.id;
    const { ContentLength } = await client.send(new HeadObjectCommand({ Bucket, Key }));
    assert.equal(ContentLength, 5 * MiB + 3);
    const url = await getSignedUrl(client, new GetObjectCommand({ Bucket, Key }), { expiresIn: 60 });
    const bytes = Buffer.from(await (await fetch(url)).arrayBuffer());
    assert.ok(bytes.equals(Buffer.concat([first, Buffer.from('end')])));

    await faults.ended({ operation: 'GetObject' });
    const told = faults.calls.map(({ operation, partNumber, status, storeStatus, requestBytes }) =>
      [operation, partNumber, storeStatus, status, requestBytes].join(' '),
    );
    const complete = faults.calls.find(({ operation }) => operation === 'CompleteMultipartUpload');
    assert.ok(complete !== undefined && complete.requestBytes > 0);
    assert.deepEqual(told.toSorted(), [
      `CompleteMultipartUpload  200 200 ${complete.requestBytes}`,
      'CreateMultipartUpload  200 200 0',
      'GetObject  200 200 0',
      'HeadObject  200 200 0',
      `UploadPart 1 200 200 ${5 * MiB}`,
      'UploadPart 2 200 200 3',
    ]);
    assert.ok(faults.calls.every(({ key }) => key === 'a b/ü.bin'));
  });

  test('passes refusals, and a wrong signature stays wrong', async () => {
    await using stand = await FaultStand.start();
    const upload = await stand.createUpload();
    const url = new URL(await upload.partUrl(1));
    url.searchParams.set('partNumber', '2');
    const answer = await fetch(url, { method: 'PUT', body: 'x' });
    assert.equal(answer.status, 403);
    assert.match(await answer.text(), /SignatureDoesNotMatch/);
    await assert.rejects(
      stand.client.send(new HeadObjectCommand({ Bucket: stand.store.bucket, Key: 'none' })),
      {
        name: 'NotFound',
      },
    );
  });

  test('hands on 100 Continue, and keeps a connection for the next request', async () => {
    await using stand = await FaultStand.start();
    const upload = await stand.createUpload();
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    const ports = new Set<number | undefined>();
    for (const part of [1, 2, 3]) {
      const outgoing = request(await upload.partUrl(part), {
        method: 'PUT',
        agent,
        headers: { expect: '100-continue', 'content-length': 4 },
      });
      outgoing.flushHeaders();
      await once(outgoing, 'continue');
      outgoing.end('body');
      const [answer] = (await once(outgoing, 'response')) as [IncomingMessage];
      assert.equal(answer.statusCode, 200);
      ports.add(outgoing.socket?.localPort);
      await buffer(answer);
    }
    assert.equal(ports.size, 1);
    agent.destroy();
    assert.equal((await upload.storedParts()).length, 3);
  });

  test('holds no body in memory', async () => {
    await using stand = await FaultStand.start();
    const upload = await stand.createUpload();
    const sizeBytes = 256 * MiB;
    const chunk = randomBytes(MiB);
    const outgoing = request(await upload.partUrl(1), {
      method: 'PUT',
      headers: { 'content-length': sizeBytes },
    });
    const before = process.memoryUsage().arrayBuffers;
    let most = 0;
    for (let sent = 0; sent < sizeBytes; sent += MiB) {
      if (!outgoing.write(chunk)) await once(outgoing, 'drain');
      most = Math.max(most, process.memoryUsage().arrayBuffers - before);
    }
    outgoing.end();
    const [answer] = (await once(outgoing, 'response')) as [IncomingMessage];
    answer.resume();
    assert.equal(answer.statusCode, 200);
    assert.ok(most < 96 * MiB, `held ${Math.round(most / MiB)} MiB`);
  });

  test(
    'breaks connections when the store goes away, and works again once it is back',
    {
      skip: hasExternalStore(),
    },
    async () => {
      await using stand = await FaultStand.start();
      const list = new ListObjectsV2Command({ Bucket: stand.store.bucket });
      await stand.client.send(list);
      await stand.store.embedded?.goAway();
      await assert.rejects(stand.client.send(list), { code: 'ECONNRESET' });
      await stand.store.embedded?.comeBack();
      await stand.client.send(list);
    },
  );
});

describe('a rule', { concurrency: true }, () => {
  test('takes the next calls of its kind that match, after those it skips', async () => {
    await using stand = await FaultStand.start();
    const rule = stand.faults.next({
      operation: 'UploadPart',
      matching: ({ partNumber }) => partNumber === 2,
      times: 2,
      skip: 1,
      fault: error('SlowDown'),
    });
    const upload = await stand.createUpload();
    const statuses = async (part: number, times: number) => {
      const found: number[] = [];
      for (let at = 0; at < times; at++) found.push((await upload.putPart(part, 'x')).status);
      return found;
    };
    assert.deepEqual(await statuses(1, 4), [200, 200, 200, 200]);
    assert.deepEqual(await statuses(2, 4), [200, 503, 503, 200]);
    assert.equal(rule.firedCount, 2);
    assert.deepEqual(
      rule.calls.map(({ fault }) => fault),
      ['error SlowDown', 'error SlowDown'],
    );
    stand.faults.assertAllFired();
  });

  test('takes calls that try out the store only if it is told so', async () => {
    await using stand = await FaultStand.start();
    const rules = [false, true].map((trials) =>
      stand.faults.next({ operation: 'UploadPart', trials, fault: error('SlowDown') }),
    );
    const upload = await stand.createUpload('uploads/.backhaul-probe/x');
    assert.equal((await upload.putPart(1, 'x')).status, 503);
    assert.deepEqual(
      rules.map(({ firedCount }) => firedCount),
      [0, 1],
    );
  });

  test('that does not fire is named by who waits for it, and by assertAllFired', async () => {
    await using stand = await FaultStand.start();
    const rule = stand.faults.next({ operation: 'ListParts', times: 2, fault: dropAnswer() });
    const name = /the fault "dropAnswer" on ListParts \(2 wanted, 0 calls taken, 0 fired\)/;
    await assert.rejects(rule.fired({ deadlineMs: 20 }), name);
    assert.throws(() => stand.faults.assertAllFired(), name);
    await assert.rejects(
      stand.faults.ended({ operation: 'ListParts' }, { deadlineMs: 20 }),
      /no ListParts ended within 20 ms/,
    );
    stand.faults.clear();
    stand.faults.assertAllFired();
  });

  test('does not count a call that its client gave up', async () => {
    await using stand = await FaultStand.start();
    const rule = stand.faults.next({ operation: 'UploadPart', fault: error('InternalError') });
    const upload = await stand.createUpload();
    const outgoing = request(await upload.partUrl(1), { method: 'PUT', headers: { 'content-length': 100 } });
    outgoing.on('error', () => undefined);
    outgoing.write('some');
    while (rule.calls.length === 0) await sleep(5);
    outgoing.destroy();
    const call = await stand.faults.ended({ operation: 'UploadPart' });
    assert.equal(call.status, null);
    assert.equal(rule.firedCount, 0);
    assert.throws(() => stand.faults.assertAllFired(), /1 calls taken, 0 fired/);
  });
});
