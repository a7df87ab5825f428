import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { CHECKSUM_TRAITS, type ChecksumAlgorithm } from '../checksum/algorithm.ts';
import {
  filesBelow,
  md5Hex,
  patternBytes,
  startStore,
  type StoreFixture,
} from '../../../../test/harness/object-store/store-fixture.ts';
import { elementText, elementTexts } from '../../../../test/harness/object-store/test-client.ts';

const PART = 5 * 1024 * 1024;
const A = patternBytes(PART, 'a');
const B = patternBytes(1000, 'b');

let fixture: StoreFixture;
before(async () => void (fixture = await startStore()));
after(() => fixture[Symbol.asyncDispose]());

function checksum(algorithm: ChecksumAlgorithm, data: Buffer): string {
  const digest = CHECKSUM_TRAITS[algorithm].start();
  digest.update(data);
  return digest.digest().toString('base64');
}

const ascending = (a: number, b: number): number => a - b;
const etagOf = (data: Buffer): string => `"${md5Hex(data)}"`;
const partFiles = async (uploadId: string): Promise<string[]> =>
  (await filesBelow(join(fixture.dataDir, 'buckets', 'box', 'blobs'))).filter((path) =>
    path.startsWith(uploadId),
  );

async function uploaded(path: string, bodies: readonly Buffer[], headers: Record<string, string> = {}) {
  const uploadId = await fixture.client.createUpload(path, headers);
  for (const [at, body] of bodies.entries()) {
    const { status, text } = await fixture.client.uploadPart(path, { uploadId, number: at + 1, body });
    assert.equal(status, 200, text);
  }
  return { uploadId, parts: bodies.map((body, at) => ({ PartNumber: at + 1, ETag: etagOf(body) })) };
}

test('two concurrent Completes of one upload create one object', async () => {
  const { uploadId, parts } = await uploaded('/box/twice', [A, B]);
  const replies = await Promise.all(
    [1, 2, 3].map(() => fixture.client.completeUpload('/box/twice', uploadId, { parts })),
  );
  assert.deepEqual(replies.map(({ status }) => status).sort(ascending), [200, 404, 404]);
  assert.ok((await fixture.client.call('GET', '/box/twice')).body.equals(Buffer.concat([A, B])));
});

test('concurrent Complete and Abort leave either the object or nothing', async () => {
  for (let round = 0; round < 8; round++) {
    const path = `/box/either-${round}`;
    const { uploadId, parts } = await uploaded(path, [B]);
    const complete = () => fixture.client.completeUpload(path, uploadId, { parts });
    const abort = () => fixture.client.call('DELETE', path, { query: { uploadId } });
    const [completed, aborted] =
      round % 2 === 0
        ? await Promise.all([complete(), abort()])
        : await Promise.all([abort(), complete()]).then(([b, a]) => [a, b] as const);
    const { status } = await fixture.client.call('HEAD', path);
    assert.equal(status, completed.status === 200 ? 200 : 404);
    assert.equal(aborted.status, completed.status === 200 ? 404 : 204);
    assert.equal((await partFiles(uploadId)).length, completed.status === 200 ? 1 : 0);
  }
});

test('a part that arrives during or after the abort leaves no file', async () => {
  const { uploadId } = await uploaded('/box/late', [B]);
  const parts = Array.from({ length: 8 }, (_, at) =>
    fixture.client.uploadPart('/box/late', { uploadId, number: at + 2, body: A }),
  );
  const aborted = await fixture.client.call('DELETE', '/box/late', { query: { uploadId } });
  assert.equal(aborted.status, 204);
  for (const { status, code } of await Promise.all(parts))
    assert.ok(status === 200 || code === 'NoSuchUpload');
  const late = await fixture.client.uploadPart('/box/late', { uploadId, number: 1, body: B });
  assert.equal(`${late.status} ${late.code}`, '404 NoSuchUpload');
  assert.deepEqual(await partFiles(uploadId), []);
  assert.deepEqual(await filesBelow(join(fixture.dataDir, 'tmp')), []);
});

test('a repeated part replaces the first', async () => {
  const { uploadId } = await uploaded('/box/again', [A]);
  await fixture.client.uploadPart('/box/again', { uploadId, number: 1, body: B });
  const old = await fixture.client.completeUpload('/box/again', uploadId, {
    parts: [{ PartNumber: 1, ETag: etagOf(A) }],
  });
  assert.equal(old.code, 'InvalidPart');
  const { status } = await fixture.client.completeUpload('/box/again', uploadId, {
    parts: [{ PartNumber: 1, ETag: etagOf(B) }],
  });
  assert.equal(status, 200);
  assert.ok((await fixture.client.call('GET', '/box/again')).body.equals(B));
});

test('parts that Complete does not list are removed', async () => {
  const { uploadId, parts } = await uploaded('/box/subset', [A, B, B]);
  const listed = parts.filter((part) => part.PartNumber !== 2);
  assert.equal((await fixture.client.completeUpload('/box/subset', uploadId, { parts: listed })).status, 200);
  assert.deepEqual(await partFiles(uploadId), [join(uploadId, '00001'), join(uploadId, '00003')]);
});

test('an object that replaces another removes its files', async () => {
  const first = await uploaded('/box/replaced', [A]);
  await fixture.client.completeUpload('/box/replaced', first.uploadId, { parts: first.parts });
  const second = await uploaded('/box/replaced', [B]);
  await fixture.client.completeUpload('/box/replaced', second.uploadId, { parts: second.parts });
  assert.deepEqual(await partFiles(first.uploadId), []);
  assert.ok((await fixture.client.call('GET', '/box/replaced')).body.equals(B));
});

test('a refused Complete returns the reason and leaves the upload open', async () => {
  const path = '/box/refused';
  const { uploadId, parts } = await uploaded(path, [A, B]);
  const outcome = async (
    list: ReadonlyArray<Record<string, string | number>>,
    headers: Record<string, string> = {},
  ): Promise<string | undefined> =>
    (await fixture.client.completeUpload(path, uploadId, { parts: list, headers })).code;
  const [first, second] = parts;
  assert.ok(first !== undefined && second !== undefined);
  assert.equal(await outcome([]), 'MalformedXML');
  assert.equal(await outcome([second, first]), 'InvalidPartOrder');
  assert.equal(await outcome([first, first]), 'InvalidPartOrder');
  assert.equal(await outcome([first, { ...second, PartNumber: 3 }]), 'InvalidPart');
  assert.equal(await outcome([first, { ...second, ETag: first.ETag }]), 'InvalidPart');
  assert.equal(await outcome([{ ...first, ChecksumCRC32: 'AAAAAA==' }]), 'InvalidPart');
  assert.equal(await outcome([{ ...first, ChecksumMD5: 'x' }]), 'NotImplemented');
  assert.equal(await outcome(parts, { 'x-amz-mp-object-size': String(PART) }), 'InvalidRequest');
  assert.equal(await outcome(parts, { 'x-amz-checksum-crc32': checksum('CRC32', A) }), 'InvalidRequest');
  assert.equal(await outcome(parts, { 'x-amz-checksum-type': 'FULL_OBJECT' }), 'InvalidRequest');
  assert.equal(await outcome(parts, { 'if-match': '"other"' }), 'NoSuchKey');
  assert.equal((await fixture.client.call('HEAD', path)).status, 404);
  assert.equal(
    await outcome(parts, { 'x-amz-mp-object-size': String(PART + 1000), 'if-none-match': '*' }),
    undefined,
  );
});

test('only the last part may be smaller than 5 MiB', async () => {
  const { uploadId, parts } = await uploaded('/box/small', [B, B]);
  const { status, code } = await fixture.client.completeUpload('/box/small', uploadId, { parts });
  assert.equal(`${status} ${code}`, '400 EntityTooSmall');
});

test('If-None-Match on Complete lets only one of two uploads win', async () => {
  const one = await uploaded('/box/first-wins', [A]);
  const two = await uploaded('/box/first-wins', [B]);
  const replies = await Promise.all(
    [one, two].map(({ uploadId, parts }) =>
      fixture.client.completeUpload('/box/first-wins', uploadId, {
        parts,
        headers: { 'if-none-match': '*' },
      }),
    ),
  );
  assert.deepEqual(replies.map(({ status }) => status).sort(ascending), [200, 412]);
});

test('an empty file is one empty part', async () => {
  const { uploadId, parts } = await uploaded('/box/empty', [Buffer.alloc(0)]);
  assert.equal((await fixture.client.completeUpload('/box/empty', uploadId, { parts })).status, 200);
  assert.equal((await fixture.client.call('HEAD', '/box/empty')).headers['content-length'], '0');
});

for (const algorithm of ['CRC32', 'CRC32C', 'CRC64NVME'] as const) {
  test(`${algorithm} of the full object is combined from its parts and checked`, async () => {
    const path = `/box/full-${algorithm}`;
    const header = `x-amz-checksum-${algorithm.toLowerCase()}`;
    const { uploadId, parts } = await uploaded(path, [A, B], {
      'x-amz-checksum-algorithm': algorithm,
      'x-amz-checksum-type': 'FULL_OBJECT',
    });
    const complete = (value: string) =>
      fixture.client.completeUpload(path, uploadId, { parts, headers: { [header]: value } });
    const wrong = await complete(checksum(algorithm, B));
    assert.equal(`${wrong.status} ${wrong.code}`, '400 BadDigest');
    const right = checksum(algorithm, Buffer.concat([A, B]));
    const done = await complete(right);
    assert.equal(done.status, 200, done.text);
    assert.equal(elementText(done.text, `Checksum${algorithm}`), right);
    const { headers } = await fixture.client.call('HEAD', path, {
      headers: { 'x-amz-checksum-mode': 'ENABLED' },
    });
    assert.equal(headers[header], right);
    assert.equal(headers['x-amz-checksum-type'], 'FULL_OBJECT');
  });
}

test('a composite SHA-256 covers the parts’ checksums, which are required', async () => {
  const path = '/box/composite';
  const uploadId = await fixture.client.createUpload(path, { 'x-amz-checksum-algorithm': 'SHA256' });
  const values = [A, B].map((body) => checksum('SHA256', body));
  for (const [at, body] of [A, B].entries()) {
    const part = { uploadId, number: at + 1, body };
    const without = await fixture.client.uploadPart(path, part);
    assert.equal(without.code, 'InvalidRequest');
    const sent = await fixture.client.uploadPart(path, part, { 'x-amz-checksum-sha256': values[at] ?? '' });
    assert.equal(sent.headers['x-amz-checksum-sha256'], values[at]);
  }
  const bare = [A, B].map((body, at) => ({ PartNumber: at + 1, ETag: etagOf(body) }));
  const missing = await fixture.client.completeUpload(path, uploadId, { parts: bare });
  assert.match(missing.text, /InvalidRequest.*missing for part 1/s);
  const parts = bare.map((part, at) => ({ ...part, ChecksumSHA256: values[at] ?? '' }));
  const done = await fixture.client.completeUpload(path, uploadId, { parts });
  const digests = Buffer.concat(values.map((value) => Buffer.from(value, 'base64')));
  assert.equal(elementText(done.text, 'ChecksumSHA256'), `${checksum('SHA256', digests)}-2`);
  assert.equal(elementText(done.text, 'ChecksumType'), 'COMPOSITE');
});

test('the checksum of a part must have the algorithm of its upload', async () => {
  const uploadId = await fixture.client.createUpload('/box/named', {
    'x-amz-checksum-algorithm': 'CRC32',
    'x-amz-checksum-type': 'FULL_OBJECT',
  });
  const part = { uploadId, number: 1, body: B };
  const send = async (headers: Record<string, string>): Promise<string> => {
    const { status, code } = await fixture.client.uploadPart('/box/named', part, headers);
    return `${status} ${code}`;
  };
  assert.equal(await send({ 'x-amz-checksum-sha256': checksum('SHA256', B) }), '400 InvalidRequest');
  assert.equal(await send({ 'x-amz-checksum-crc32': checksum('CRC32', A) }), '400 BadDigest');
  assert.equal(await send({ 'x-amz-checksum-crc32': checksum('CRC32', B) }), '200 undefined');
});

test('checksum types that an algorithm does not support are refused at Create', async () => {
  const create = async (algorithm: string, type: string): Promise<string> => {
    const headers = { 'x-amz-checksum-algorithm': algorithm, 'x-amz-checksum-type': type };
    const { status, code } = await fixture.client.call('POST', '/box/types', {
      query: { uploads: '' },
      headers,
    });
    return `${status} ${code}`;
  };
  assert.equal(await create('SHA256', 'FULL_OBJECT'), '400 InvalidRequest');
  assert.equal(await create('CRC64NVME', 'COMPOSITE'), '400 InvalidRequest');
  assert.equal(await create('XXHASH64', 'FULL_OBJECT'), '501 NotImplemented');
});

test('part numbers run from 1 to 10,000, and an upload belongs to its key', async () => {
  const uploadId = await fixture.client.createUpload('/box/numbers');
  for (const number of [0, 10_001]) {
    const { code } = await fixture.client.uploadPart('/box/numbers', { uploadId, number, body: B });
    assert.equal(code, 'InvalidArgument');
  }
  const other = await fixture.client.uploadPart('/box/other', { uploadId, number: 1, body: B });
  assert.equal(other.code, 'NoSuchUpload');
  const made = await fixture.client.uploadPart('/box/numbers', { uploadId: '../../x', number: 1, body: B });
  assert.equal(made.code, 'NoSuchUpload');
});

test('parts are listed in order and in pages', async () => {
  const uploadId = await fixture.client.createUpload('/box/listed');
  for (const number of [5, 1, 10, 3])
    await fixture.client.uploadPart('/box/listed', { uploadId, number, body: B });
  const list = async (query: Record<string, string>) => {
    const { text } = await fixture.client.call('GET', '/box/listed', { query: { uploadId, ...query } });
    return {
      numbers: elementTexts(text, 'PartNumber').map(Number),
      truncated: elementText(text, 'IsTruncated'),
      next: elementText(text, 'NextPartNumberMarker') ?? '',
    };
  };
  assert.deepEqual(await list({}), { numbers: [1, 3, 5, 10], truncated: 'false', next: '10' });
  const first = await list({ 'max-parts': '3' });
  assert.deepEqual(first, { numbers: [1, 3, 5], truncated: 'true', next: '5' });
  const second = await list({ 'max-parts': '3', 'part-number-marker': first.next });
  assert.deepEqual(second.numbers, [10]);
});

test('uploads are listed by key and age, in pages, by prefix and in groups', async () => {
  const { client } = fixture;
  await client.call('PUT', '/uploads');
  const ids: string[] = [];
  for (const key of ['b/1', 'a', 'b/2', 'b/1', 'c']) ids.push(await client.createUpload(`/uploads/${key}`));
  const list = async (query: Record<string, string>) => {
    const { text } = await client.call('GET', '/uploads', { query: { uploads: '', ...query } });
    const groups = elementTexts(text.replaceAll(/<Prefix><\/Prefix>/g, ''), 'Prefix');
    return { ids: elementTexts(text, 'UploadId'), groups, text };
  };
  const [b1, a, b2, b1Later, c] = ids;
  assert.deepEqual((await list({})).ids, [a, b1, b1Later, b2, c]);
  const pages: string[] = [];
  for (let markers: Record<string, string> = {}; ;) {
    const page = await list({ 'max-uploads': '2', ...markers });
    pages.push(...page.ids);
    if (elementText(page.text, 'IsTruncated') !== 'true') break;
    markers = {
      'key-marker': elementText(page.text, 'NextKeyMarker') ?? '',
      'upload-id-marker': elementText(page.text, 'NextUploadIdMarker') ?? '',
    };
  }
  assert.deepEqual(pages, [a, b1, b1Later, b2, c]);
  assert.deepEqual((await list({ prefix: 'b/1' })).ids, [b1, b1Later]);
  const grouped = await list({ delimiter: '/' });
  assert.deepEqual([grouped.ids, grouped.groups], [[a, c], ['b/']]);
  assert.deepEqual((await list({ delimiter: '/', 'key-marker': 'b/' })).ids, [c]);
  // A marker that is the prefix itself is not a group of an earlier page.
  const folder = await list({ prefix: 'b/', delimiter: '/', 'key-marker': 'b/' });
  assert.deepEqual(folder.ids, [b1, b1Later, b2]);
});

test('a part can be copied from a range across another object’s parts', async () => {
  const { client } = fixture;
  const source = await uploaded('/box/source', [A, B]);
  await client.completeUpload('/box/source', source.uploadId, { parts: source.parts });
  const uploadId = await client.createUpload('/box/copied', {
    'x-amz-checksum-algorithm': 'CRC32',
    'x-amz-checksum-type': 'FULL_OBJECT',
  });
  const copy = (headers: Record<string, string>) =>
    client.call('PUT', '/box/copied', {
      query: { uploadId, partNumber: '1' },
      headers: { 'x-amz-copy-source': 'box/source', ...headers },
    });
  const range = `bytes=${PART - 100}-${PART + 99}`;
  const beyond = await copy({ 'x-amz-copy-source-range': `bytes=0-${PART + 1000}` });
  assert.equal(beyond.code, 'InvalidRange');
  const changed = await copy({ 'x-amz-copy-source-if-match': '"other"' });
  assert.equal(changed.code, 'PreconditionFailed');
  const { text } = await copy({ 'x-amz-copy-source-range': range });
  const expected = Buffer.concat([A.subarray(-100), B.subarray(0, 100)]);
  assert.equal(elementText(text, 'ChecksumCRC32'), checksum('CRC32', expected));
  const done = await client.completeUpload('/box/copied', uploadId, {
    parts: [{ PartNumber: 1, ETag: etagOf(expected) }],
  });
  assert.equal(done.status, 200, done.text);
  assert.ok((await client.call('GET', '/box/copied')).body.equals(expected));
});
