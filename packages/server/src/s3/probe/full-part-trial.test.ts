import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { test } from 'node:test';
import type { Finding } from '@backhaul/protocol';
import { errorXml, type FakeHabits, FakeS3, quickTiming } from '../../../../../test/doubles/fake-s3.ts';
import { S3Bucket } from '../s3-bucket.ts';

const PART_BYTES = 5 * 1024 * 1024;

/** Diagnoses a store that has this public address. */
async function diagnose(
  fake: FakeS3,
  publicEndpoint?: string,
): Promise<{ own: Finding | undefined; public: Finding | undefined }> {
  await using bucket = new S3Bucket(fake.settings({ publicEndpoint }), { timing: quickTiming });
  const findings = await bucket.diagnose();
  assert.equal(fake.uploads.size, 0, 'uploads were left');
  assert.equal(fake.objects.size, 0, 'objects were left');
  const named = (name: string) => findings.find((finding) => finding.name === name);
  return { own: named('s3_full_part'), public: named('s3_public_endpoint') };
}

/** The same store under another host name, as behind a proxy. */
function publicUrl(fake: FakeS3): string {
  return fake.url.replace('127.0.0.1', 'localhost');
}

function fullParts(fake: FakeS3, host: string): number {
  return fake.requests.filter(
    ({ method, body, headers }) =>
      method === 'PUT' && body.length === PART_BYTES && headers.host?.startsWith(host) === true,
  ).length;
}

test('a part of full size is sent to the store’s own address and to its public one', async () => {
  await using fake = await FakeS3.start();
  const found = await diagnose(fake, publicUrl(fake));
  assert.equal(found.own?.level, 'ok');
  assert.equal(found.public?.level, 'ok');
  assert.match(found.public.detail, /^localhost:\d+ accepts a part of 5 MiB/);
  assert.deepEqual([fullParts(fake, '127.0.0.1'), fullParts(fake, 'localhost')], [1, 1]);
});

test('without a separate public address the store is sent one part', async () => {
  await using fake = await FakeS3.start();
  const found = await diagnose(fake);
  assert.equal(found.own?.level, 'ok');
  assert.equal(found.public, undefined);
  assert.equal(fullParts(fake, '127.0.0.1'), 1);
});

test('a public address without a listener is a warning that names it', async () => {
  const closed = createServer().listen(0, '127.0.0.1');
  await once(closed, 'listening');
  const { port } = closed.address() as AddressInfo;
  closed.close();
  await once(closed, 'close');
  await using fake = await FakeS3.start();
  const { public: found } = await diagnose(fake, `http://127.0.0.1:${port}`);
  assert.equal(found?.level, 'warning');
  assert.match(
    found.detail,
    new RegExp(`^127\\.0\\.0\\.1:${port} cannot be reached from the server \\(ECONNREFUSED\\)`),
  );
  assert.match(found.fix ?? '', /S3_PUBLIC_ENDPOINT/);
});

test('a proxy that limits the request size gets a specific message, at either address', async () => {
  const habits: Partial<FakeHabits> = { maxBodyBytes: 1024 * 1024 };
  await using fake = await FakeS3.start(habits);
  const found = await diagnose(fake, publicUrl(fake));
  for (const finding of [found.own, found.public]) {
    assert.equal(finding?.level, 'error');
    assert.match(finding.detail, /HTTP 413.*a proxy in front of the store limits the request size/);
    assert.match(finding.fix ?? '', /client_max_body_size/);
  }
});

test('a refusal that arrives before the part is fully sent and breaks the connection is recognized', async () => {
  let refused = 0;
  const sockets = new Set<Socket>();
  const proxy = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.once('data', () => {
      refused += 1;
      socket.pause();
      socket.write('HTTP/1.1 413 Request Entity Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n');
    });
  }).listen(0, '127.0.0.1');
  await once(proxy, 'listening');
  await using fake = await FakeS3.start();
  const { port } = proxy.address() as AddressInfo;
  const { public: found } = await diagnose(fake, `http://127.0.0.1:${port}`);
  for (const socket of sockets) socket.destroy();
  proxy.close();
  assert.equal(refused, 1);
  assert.match(found?.detail ?? '', /HTTP 413/);
});

test('a proxy that changes the Host header gets a specific message', async () => {
  await using fake = await FakeS3.start();
  let refused = 0;
  fake.intercept = ({ headers }, response) => {
    if (headers.host?.startsWith('localhost') !== true) return false;
    refused += 1;
    response.writeHead(403).end(errorXml('SignatureDoesNotMatch'));
    return true;
  };
  const found = await diagnose(fake, publicUrl(fake));
  assert.equal(refused, 1);
  assert.equal(found.own?.level, 'ok');
  assert.equal(found.public?.level, 'error');
  assert.match(found.public.detail, /changes the Host header/);
  assert.match(found.public.fix ?? '', /proxy_set_header Host/);
});

test('a public address of another store, a redirect and a response without ETag are reported', async () => {
  await using fake = await FakeS3.start();
  await using other = await FakeS3.start();
  assert.match((await diagnose(fake, other.url)).public?.detail ?? '', /another store or bucket/);
  fake.intercept = ({ headers }, response) => {
    if (headers.host?.startsWith('localhost') !== true) return false;
    response.writeHead(307, { location: 'http://elsewhere.test/' }).end();
    return true;
  };
  assert.match((await diagnose(fake, publicUrl(fake))).public?.detail ?? '', /\(HTTP 307\)/);
  fake.intercept = ({ headers }, response) => {
    if (headers.host?.startsWith('localhost') !== true) return false;
    response.writeHead(200).end();
    return true;
  };
  assert.match((await diagnose(fake, publicUrl(fake))).public?.detail ?? '', /without an ETag/);
});

test('a part that does not arrive in time is not an error: the connection may be slow', async () => {
  await using fake = await FakeS3.start();
  let hung = 0;
  fake.intercept = ({ method, body }) => {
    const isFullPart = method === 'PUT' && body.length === PART_BYTES;
    if (isFullPart) hung += 1;
    return isFullPart;
  };
  const timing = { ...quickTiming, fullPartMs: 1500 };
  await using bucket = new S3Bucket(fake.settings(), { timing });
  const found = (await bucket.diagnose()).find(({ name }) => name === 's3_full_part');
  assert.equal(hung, 1);
  assert.equal(found?.level, 'info');
  assert.match(found.detail, /did not arrive at 127\.0\.0\.1:\d+ within 1\.5 s/);
});

test('closing the bucket stops a hanging trial', { timeout: 20_000 }, async () => {
  await using fake = await FakeS3.start();
  const hangs = Promise.withResolvers<void>();
  fake.intercept = ({ method, body }) => {
    const isFullPart = method === 'PUT' && body.length === PART_BYTES;
    if (isFullPart) hangs.resolve();
    return isFullPart;
  };
  const bucket = new S3Bucket(fake.settings(), { timing: quickTiming });
  const diagnosis = assert.rejects(bucket.diagnose(), { message: 'the bucket was closed' });
  await hangs.promise;
  await bucket.close();
  await diagnosis;
});

test('a trial upload that cannot be aborted in time does not fail the diagnosis', async () => {
  await using fake = await FakeS3.start();
  const timing = { ...quickTiming, fullPartMs: 300 };
  await using bucket = new S3Bucket(fake.settings(), { timing });
  await bucket.capabilities();
  let unanswered = 0;
  fake.intercept = ({ method, key }) => {
    const isAbort = method === 'DELETE' && key.endsWith('/full-part');
    if (isAbort) unanswered += 1;
    return isAbort;
  };
  const findings = await bucket.diagnose();
  assert.ok(findings.some(({ name }) => name === 's3_full_part'));
  assert.equal(unanswered, 1);
});
