import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { crc32 } from 'node:zlib';
import {
  filesBelow,
  md5Base64,
  md5Hex,
  patternBytes,
  startStore,
  type StoreFixture,
} from '../../../../test/harness/object-store/store-fixture.ts';
import { sha256Hex } from '../../../../test/harness/object-store/test-client.ts';

let fixture: StoreFixture;
before(async () => void (fixture = await startStore({ stallTimeoutMs: 400 })));
after(() => fixture[Symbol.asyncDispose]());

function crc32Base64(data: Buffer): string {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(crc32(data));
  return bytes.toString('base64');
}

const BODY = patternBytes(200_000, 'body');
const OTHER = patternBytes(200_000, 'other');
const sha256Base64 = (data: Buffer): string => Buffer.from(sha256Hex(data), 'hex').toString('base64');

async function stored(key: string): Promise<Buffer | undefined> {
  const { status, body } = await fixture.client.call('GET', `/box/${key}`);
  return status === 200 ? body : undefined;
}

test('a stored object is returned with its properties', async () => {
  const { client } = fixture;
  const headers = {
    'content-type': 'text/x-test',
    'content-disposition': 'attachment; filename="a.bin"',
    'content-language': 'de',
    'cache-control': 'no-store',
    'x-amz-meta-owner': 'agent 1',
    'x-amz-storage-class': 'INTELLIGENT_TIERING',
  };
  const put = await client.call('PUT', '/box/properties', { body: BODY, headers });
  assert.equal(put.headers.etag, `"${md5Hex(BODY)}"`);
  const get = await client.call('GET', '/box/properties');
  assert.ok(get.body.equals(BODY));
  for (const [name, value] of Object.entries(headers)) assert.equal(get.headers[name], value, name);
  const head = await client.call('HEAD', '/box/properties');
  assert.equal(head.headers['content-length'], String(BODY.length));
});

test('a wrong Content-MD5 or checksum stores nothing, a correct checksum is returned', async () => {
  const { client } = fixture;
  const outcome = async (headers: Record<string, string>): Promise<string> => {
    const { status, code } = await client.call('PUT', '/box/checked', { body: BODY, headers });
    return `${status} ${code}`;
  };
  assert.equal(await outcome({ 'content-md5': md5Base64(OTHER) }), '400 BadDigest');
  assert.equal(await outcome({ 'content-md5': 'no digest' }), '400 InvalidDigest');
  assert.equal(await outcome({ 'x-amz-checksum-crc32': crc32Base64(OTHER) }), '400 BadDigest');
  assert.equal(await outcome({ 'x-amz-checksum-sha256': sha256Base64(OTHER) }), '400 BadDigest');
  assert.equal(await outcome({ 'x-amz-checksum-crc32': 'AAAA' }), '400 InvalidRequest');
  const two = { 'x-amz-checksum-crc32': crc32Base64(BODY), 'x-amz-checksum-sha256': sha256Base64(BODY) };
  assert.equal(await outcome(two), '400 InvalidRequest');
  assert.equal(await outcome({ 'x-amz-sdk-checksum-algorithm': 'CRC32' }), '400 InvalidRequest');
  assert.equal(await outcome({ 'x-amz-sdk-checksum-algorithm': 'XXHASH64' }), '501 NotImplemented');
  assert.equal(await stored('checked'), undefined);
  const right = { 'content-md5': md5Base64(BODY), 'x-amz-checksum-crc32': crc32Base64(BODY) };
  const put = await client.call('PUT', '/box/checked', { body: BODY, headers: right });
  assert.equal(put.headers['x-amz-checksum-crc32'], crc32Base64(BODY));
  const silent = await client.call('HEAD', '/box/checked');
  assert.equal(silent.headers['x-amz-checksum-crc32'], undefined);
  const head = await client.call('HEAD', '/box/checked', { headers: { 'x-amz-checksum-mode': 'ENABLED' } });
  assert.equal(head.headers['x-amz-checksum-crc32'], crc32Base64(BODY));
  assert.equal(head.headers['x-amz-checksum-type'], 'FULL_OBJECT');
});

for (const signChunks of [true, false]) {
  const kind = signChunks ? 'signed' : 'unsigned';
  const trailer = ['x-amz-checksum-crc32', crc32Base64(BODY)] as const;
  const chunks = [BODY.subarray(0, 70_000), BODY.subarray(70_000)];

  test(`an aws-chunked body with ${kind} chunks and a checksum trailer is stored without its framing`, async () => {
    const key = `chunked-${kind}`;
    const put = await fixture.client.putChunked(`/box/${key}`, chunks, { signChunks, trailer });
    assert.equal(put.status, 200, put.text);
    assert.equal(put.headers['x-amz-checksum-crc32'], trailer[1]);
    assert.ok((await stored(key))?.equals(BODY));
    const { headers } = await fixture.client.call('HEAD', `/box/${key}`);
    assert.equal(headers['content-encoding'], undefined);
  });

  test(`a wrong trailing checksum after ${kind} chunks stores nothing`, async () => {
    const key = `trailer-${kind}`;
    const wrong = ['x-amz-checksum-crc32', crc32Base64(OTHER)] as const;
    const { status, code } = await fixture.client.putChunked(`/box/${key}`, chunks, {
      signChunks,
      trailer: wrong,
    });
    assert.equal(`${status} ${code}`, '400 BadDigest');
    assert.equal(await stored(key), undefined);
  });

  test(`changed bytes in ${kind} chunks store nothing`, async () => {
    const key = `changed-${kind}`;
    const corrupt = (frames: Buffer): Buffer => {
      const changed = Buffer.from(frames);
      changed[1000] = (changed[1000] ?? 0) ^ 1;
      return changed;
    };
    const { code } = await fixture.client.putChunked(`/box/${key}`, chunks, { signChunks, trailer, corrupt });
    assert.equal(code, signChunks ? 'SignatureDoesNotMatch' : 'BadDigest');
    assert.equal(await stored(key), undefined);
  });
}

test('chunks that end early or are followed by more bytes store nothing', async () => {
  const put = async (key: string, corrupt: (frames: Buffer) => Buffer) =>
    await fixture.client.putChunked(`/box/${key}`, [BODY], { signChunks: true, corrupt });
  const cut = await put('cut', (frames) => frames.subarray(0, frames.length - 90));
  assert.equal(`${cut.status} ${cut.code}`, '400 IncompleteBody');
  const longer = await put('longer', (frames) => Buffer.concat([frames, Buffer.from('more')]));
  assert.equal(`${longer.status} ${longer.code}`, '400 InvalidRequest');
  const missing = await fixture.client.putChunked('/box/missing', [BODY], {
    signChunks: false,
    trailer: ['x-amz-checksum-crc32', crc32Base64(BODY)],
    corrupt: (frames) =>
      Buffer.concat([frames.subarray(0, frames.lastIndexOf('x-amz-checksum')), Buffer.from('\r\n')]),
  });
  assert.equal(`${missing.status} ${missing.code}`, '400 MalformedTrailerError');
  for (const key of ['cut', 'longer', 'missing']) assert.equal(await stored(key), undefined);
});

test('a decoded length that differs from the body stores nothing', async () => {
  const put = async (announced: string): Promise<string> => {
    const headers = { 'x-amz-decoded-content-length': announced };
    const { status, code } = await fixture.client.putChunked('/box/lied', [BODY], {
      signChunks: true,
      headers,
    });
    return `${status} ${code}`;
  };
  assert.equal(await put('199999'), '400 InvalidRequest');
  assert.equal(await put('200001'), '400 IncompleteBody');
  assert.equal(await stored('lied'), undefined);
});

test('writes can be conditional on absence and on the current ETag', async () => {
  const { client } = fixture;
  const put = async (headers: Record<string, string>): Promise<string> => {
    const { status, code } = await client.call('PUT', '/box/conditional', { body: BODY, headers });
    return `${status} ${code}`;
  };
  assert.equal(await put({ 'if-match': `"${md5Hex(BODY)}"` }), '404 NoSuchKey');
  assert.equal(await put({ 'if-none-match': '*' }), '200 undefined');
  assert.equal(await put({ 'if-none-match': '*' }), '412 PreconditionFailed');
  assert.equal(await put({ 'if-match': `"${md5Hex(OTHER)}"` }), '412 PreconditionFailed');
  assert.equal(await put({ 'if-match': `"${md5Hex(BODY)}"` }), '200 undefined');
});

test('of many concurrent writes with If-None-Match, one succeeds', async () => {
  const bodies = Array.from({ length: 16 }, (_, at) => `writer ${at}`);
  const replies = await Promise.all(
    bodies.map((body) =>
      fixture.client.call('PUT', '/box/race', { body, headers: { 'if-none-match': '*' } }),
    ),
  );
  const winners = bodies.filter((_, at) => replies[at]?.status === 200);
  assert.equal(winners.length, 1);
  assert.equal((await stored('race'))?.toString(), winners[0]);
});

interface Slow {
  readonly text: string;
}

/** Sends a raw request: headers, part of the body, and then calls `then`. */
async function byHand(
  head: Readonly<Record<string, string>>,
  target: string,
  { bodySent, destroyAfter }: { readonly bodySent: Buffer; readonly destroyAfter: boolean },
): Promise<Slow> {
  const { url } = fixture.client;
  const socket = connect(Number(url.port), url.hostname);
  await once(socket, 'connect');
  const lines = Object.entries({ host: url.host, ...head }).map(([name, value]) => `${name}: ${value}\r\n`);
  socket.write(`PUT ${target} HTTP/1.1\r\n${lines.join('')}\r\n`);
  if (bodySent.length > 0) await new Promise((resolve) => socket.write(bodySent, resolve));
  let text = '';
  socket.on('data', (data) => (text += data.toString()));
  if (destroyAfter) {
    await delay(50);
    socket.destroy();
  }
  await once(socket, 'close');
  return { text };
}

test('an incomplete body is not stored and leaves no file', async () => {
  const target = fixture.client.presign('PUT', '/box/truncated');
  await byHand({ 'content-length': '1000000' }, target, { bodySent: BODY, destroyAfter: true });
  // The store detects it on its own side of the socket.
  for (let tries = 0; tries < 50 && (await filesBelow(join(fixture.dataDir, 'tmp'))).length > 0; tries++) {
    await delay(20);
  }
  assert.deepEqual(await filesBelow(join(fixture.dataDir, 'tmp')), []);
  assert.equal(await stored('truncated'), undefined);
});

test('a stalled body returns RequestTimeout', async () => {
  const target = fixture.client.presign('PUT', '/box/stalled');
  const { text } = await byHand({ 'content-length': '1000000' }, target, {
    bodySent: BODY,
    destroyAfter: false,
  });
  assert.match(text, /^HTTP\/1\.1 400 .*<Code>RequestTimeout<\/Code>/s);
  assert.equal(await stored('stalled'), undefined);
});

test('100 Continue is sent only to authorised requests', async () => {
  const { client } = fixture;
  const expecting = { 'content-length': '5', expect: '100-continue', connection: 'close' };
  const bodySent = Buffer.alloc(0);
  const forged = client.presign('PUT', '/box/expected', { secretKey: 'wrong' });
  const refused = await byHand(expecting, forged, { bodySent, destroyAfter: false });
  assert.match(refused.text, /^HTTP\/1\.1 403 /);
  const allowed = await byHand(expecting, client.presign('PUT', '/box/expected'), {
    bodySent: Buffer.from('hello'),
    destroyAfter: false,
  });
  assert.match(allowed.text, /^HTTP\/1\.1 100 Continue\r\n\r\nHTTP\/1\.1 200 /);
});

test('an error response reaches a client that sends its whole body before it reads', async () => {
  const target = fixture.client.presign('PUT', '/box/large', { secretKey: 'wrong' });
  const bodySent = patternBytes(6_000_000, 'large');
  const head = { 'content-length': String(bodySent.length) };
  const { text } = await byHand(head, target, { bodySent, destroyAfter: false });
  assert.match(text, /^HTTP\/1\.1 403 .*<Code>SignatureDoesNotMatch<\/Code>/s);
});

test('more than 5 GiB is refused before it is sent', async () => {
  const target = fixture.client.presign('PUT', '/box/huge');
  const head = { 'content-length': String(5 * 1024 ** 3 + 1), expect: '100-continue' };
  const { text } = await byHand(head, target, { bodySent: Buffer.alloc(0), destroyAfter: false });
  assert.match(text, /^HTTP\/1\.1 400 .*<Code>EntityTooLarge<\/Code>/s);
});

test('user metadata beyond 2 KB and keys beyond 1024 bytes are refused', async () => {
  const { client } = fixture;
  const headers = { 'x-amz-meta-long': 'x'.repeat(2048) };
  assert.equal((await client.call('PUT', '/box/meta', { body: 'x', headers })).code, 'MetadataTooLarge');
  const longest = 'k'.repeat(1024);
  assert.equal((await client.call('PUT', `/box/${longest}`, { body: 'x' })).status, 200);
  assert.equal((await client.call('PUT', `/box/${longest}k`, { body: 'x' })).code, 'KeyTooLongError');
});

test('content without a length returns 411 and is not stored; content of length 0 is stored', async () => {
  const { client } = fixture;
  const uploadId = await client.createUpload('/box/unsaid');
  const query = { uploadId, partNumber: '1' };
  for (const target of [
    client.presign('PUT', '/box/unsaid'),
    client.presign('PUT', '/box/unsaid', { query }),
  ]) {
    for (const framing of [{}, { 'transfer-encoding': 'chunked' }]) {
      const head = { ...framing, connection: 'close' };
      const body = 'transfer-encoding' in framing ? '1\r\nx\r\n0\r\n\r\n' : '';
      const { text } = await byHand(head, target, { bodySent: Buffer.from(body), destroyAfter: false });
      assert.match(text, /^HTTP\/1\.1 411 .*<Code>MissingContentLength</s, JSON.stringify(framing));
    }
  }
  assert.equal(await stored('unsaid'), undefined);
  assert.doesNotMatch((await client.call('GET', '/box/unsaid', { query: { uploadId } })).text, /<Part>/);
  assert.equal((await client.call('PUT', '/box/unsaid', { body: '' })).status, 200);
  assert.equal((await stored('unsaid'))?.length, 0);
});
