import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type IncomingMessage, request } from 'node:http';
import { buffer } from 'node:stream/consumers';
import { after, before, test } from 'node:test';
import {
  patternBytes,
  startStore,
  type StoreFixture,
} from '../../../../test/harness/object-store/store-fixture.ts';

const PART = 5 * 1024 * 1024;
const FIRST = patternBytes(PART, 'first');
const SECOND = patternBytes(PART + 1, 'second');
const LAST = patternBytes(1000, 'last');
const WHOLE = Buffer.concat([FIRST, SECOND, LAST]);

let fixture: StoreFixture;
let etag: string;
before(async () => {
  fixture = await startStore();
  const { client } = fixture;
  const uploadId = await client.createUpload('/box/parts');
  const parts: Array<{ PartNumber: number; ETag: string }> = [];
  for (const [at, body] of [FIRST, SECOND, LAST].entries()) {
    const { headers } = await client.uploadPart('/box/parts', { uploadId, number: at + 1, body });
    parts.push({ PartNumber: at + 1, ETag: headers.etag ?? '' });
  }
  assert.equal((await client.completeUpload('/box/parts', uploadId, { parts })).status, 200);
  etag = (await client.call('HEAD', '/box/parts')).headers.etag ?? '';
});
after(() => fixture[Symbol.asyncDispose]());

const ranges: ReadonlyArray<readonly [range: string, start: number, end: number]> = [
  ['bytes=0-0', 0, 1],
  [`bytes=${PART - 3}-${PART + 2}`, PART - 3, PART + 3],
  [`bytes=10-${2 * PART + 500}`, 10, 2 * PART + 501],
  ['bytes=-7', WHOLE.length - 7, WHOLE.length],
  [`bytes=${2 * PART}-`, 2 * PART, WHOLE.length],
  [`bytes=${WHOLE.length - 1}-${WHOLE.length + 100}`, WHOLE.length - 1, WHOLE.length],
  ['bytes=-999999999', 0, WHOLE.length],
];

test('the whole object and any range of it are returned, across parts', async () => {
  const whole = await fixture.client.call('GET', '/box/parts');
  assert.equal(whole.status, 200);
  assert.ok(whole.body.equals(WHOLE));
  for (const [range, start, end] of ranges) {
    const { status, headers, body } = await fixture.client.call('GET', '/box/parts', { headers: { range } });
    assert.equal(status, 206, range);
    assert.ok(body.equals(WHOLE.subarray(start, end)), range);
    assert.equal(headers['content-range'], `bytes ${start}-${end - 1}/${WHOLE.length}`);
  }
});

test('a range beyond the end is refused, a malformed one ignored', async () => {
  for (const range of [`bytes=${WHOLE.length}-`, 'bytes=-0']) {
    const { status, code } = await fixture.client.call('GET', '/box/parts', { headers: { range } });
    assert.equal(`${status} ${code}`, '416 InvalidRange', range);
  }
  for (const range of ['bytes=5-4', 'bytes=a-b', 'items=0-1', 'bytes=0-1,3-4', 'bytes=-']) {
    const { status } = await fixture.client.call('HEAD', '/box/parts', { headers: { range } });
    assert.equal(status, 200, range);
  }
});

test('a part can be read by its number', async () => {
  const get = await fixture.client.call('GET', '/box/parts', { query: { partNumber: '2' } });
  assert.equal(get.status, 206);
  assert.ok(get.body.equals(SECOND));
  assert.equal(get.headers['x-amz-mp-parts-count'], '3');
  const missing = await fixture.client.call('GET', '/box/parts', { query: { partNumber: '4' } });
  assert.equal(`${missing.status} ${missing.code}`, '416 InvalidPartNumber');
});

test('conditions on reading follow RFC 9110', async () => {
  const past = 'Fri, 24 May 2013 00:00:00 GMT';
  const future = new Date(Date.now() + 86_400_000).toUTCString();
  const cases: ReadonlyArray<readonly [headers: Record<string, string>, status: number]> = [
    [{ 'if-match': etag }, 200],
    [{ 'if-match': '"other"' }, 412],
    [{ 'if-none-match': etag }, 304],
    [{ 'if-none-match': '"other", *' }, 304],
    [{ 'if-none-match': '"other"' }, 200],
    [{ 'if-modified-since': past }, 200],
    [{ 'if-modified-since': future }, 304],
    [{ 'if-unmodified-since': past }, 412],
    [{ 'if-unmodified-since': future }, 200],
    // An entity tag takes precedence over a date.
    [{ 'if-match': etag, 'if-unmodified-since': past }, 200],
    [{ 'if-none-match': '"other"', 'if-modified-since': future }, 200],
  ];
  for (const [headers, status] of cases) {
    const reply = await fixture.client.call('HEAD', '/box/parts', { headers });
    assert.equal(reply.status, status, JSON.stringify(headers));
  }
});

test('response headers can be overridden in the signed query, but not split', async () => {
  const { client } = fixture;
  const query = {
    'response-content-disposition': 'attachment; filename="ü.bin"',
    'response-content-type': 'text/x',
  };
  const target = client.presign('GET', '/box/parts', { query });
  const { headers } = await client.raw({ method: 'GET', target, headers: { host: client.url.host } });
  assert.equal(headers['content-type'], 'text/x');
  assert.equal(
    Buffer.from(headers['content-disposition'] ?? '', 'latin1').toString(),
    'attachment; filename="ü.bin"',
  );
  const split = await client.call('GET', '/box/parts', {
    query: { 'response-expires': 'a\r\nset-cookie: b' },
  });
  assert.equal(split.status, 400);
});

test('a reader gets one version to its end, even if it is replaced and deleted while reading', async () => {
  const { client, store } = fixture;
  const source = { 'x-amz-copy-source': 'box/parts' };
  const uploadId = await client.createUpload('/box/replaced');
  const parts: Array<{ PartNumber: number; ETag: string }> = [];
  for (const PartNumber of [1, 2, 3, 4]) {
    const query = { uploadId, partNumber: String(PartNumber) };
    const { text } = await client.call('PUT', '/box/replaced', { query, headers: source });
    parts.push({ PartNumber, ETag: /<ETag>&quot;(\w+)/.exec(text)?.[1] ?? '' });
  }
  assert.equal((await client.completeUpload('/box/replaced', uploadId, { parts })).status, 200);
  const { target, headers } = client.signed('GET', '/box/replaced');
  const outgoing = request(new URL(store.url), { path: target, headers });
  outgoing.end();
  const [incoming] = (await once(outgoing, 'response')) as [IncomingMessage];
  // The response has started and waits for its reader; the files of later parts are not open yet.
  await client.call('PUT', '/box/replaced', { body: 'new' });
  assert.equal((await client.call('GET', '/box/replaced')).text, 'new');
  await client.call('DELETE', '/box/replaced');
  const read = await buffer(incoming);
  assert.ok(read.equals(Buffer.concat([WHOLE, WHOLE, WHOLE, WHOLE])));
  assert.equal((await client.call('GET', '/box/replaced')).status, 404);
});

test('an object that is replaced continually can always be read', async () => {
  const { client } = fixture;
  const path = '/box/busy';
  await client.call('PUT', path, { body: 'version 0' });
  const written = new AbortController();
  const readers = Array.from({ length: 6 }, async () => {
    const seen: string[] = [];
    while (!written.signal.aborted) seen.push((await client.call('GET', path)).text);
    return seen;
  });
  for (let version = 1; version <= 40; version++)
    await client.call('PUT', path, { body: `version ${version}` });
  written.abort();
  for (const text of (await Promise.all(readers)).flat()) assert.match(text, /^version \d+$/);
});

test('an empty object has no range', async () => {
  await fixture.client.call('PUT', '/box/empty', { body: '' });
  const get = await fixture.client.call('GET', '/box/empty');
  assert.equal(`${get.status} ${get.headers['content-length']}`, '200 0');
  const ranged = await fixture.client.call('GET', '/box/empty', { headers: { range: 'bytes=0-' } });
  assert.equal(ranged.status, 416);
});

test('missing buckets and objects have different errors', async () => {
  assert.equal((await fixture.client.call('GET', '/box/none')).code, 'NoSuchKey');
  assert.equal((await fixture.client.call('GET', '/none/none')).code, 'NoSuchBucket');
  assert.equal((await fixture.client.call('HEAD', '/box/none')).status, 404);
});
