import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import {
  md5Hex,
  patternBytes,
  startStore,
  type StoreFixture,
} from '../../../../test/harness/object-store/store-fixture.ts';
import { elementText } from '../../../../test/harness/object-store/test-client.ts';

const BODY = patternBytes(100_000, 'copy');
const PROPERTIES = { 'content-type': 'text/x', 'x-amz-meta-a': '1' };

let fixture: StoreFixture;
before(async () => {
  fixture = await startStore({ buckets: ['box', 'other'] });
  await fixture.client.call('PUT', '/box/sou rce+ü', { body: BODY, headers: PROPERTIES });
});
after(() => fixture[Symbol.asyncDispose]());

const SOURCE = { 'x-amz-copy-source': '/box/sou%20rce%2B%C3%BC' };

test('a copy has the bytes and properties of the source', async () => {
  const { client } = fixture;
  const { status, text } = await client.call('PUT', '/other/copy', {
    headers: { ...SOURCE, 'x-amz-checksum-algorithm': 'CRC32' },
  });
  assert.equal(status, 200, text);
  assert.equal(elementText(text, 'ETag'), `&quot;${md5Hex(BODY)}&quot;`);
  const get = await client.call('GET', '/other/copy', { headers: { 'x-amz-checksum-mode': 'ENABLED' } });
  assert.ok(get.body.equals(BODY));
  assert.equal(get.headers['x-amz-meta-a'], '1');
  assert.equal(get.headers['content-type'], 'text/x');
  assert.equal(get.headers['x-amz-checksum-crc32'], elementText(text, 'ChecksumCRC32'));
});

test('REPLACE takes the properties from the request', async () => {
  const headers = { ...SOURCE, 'x-amz-metadata-directive': 'REPLACE', 'x-amz-meta-b': '2' };
  await fixture.client.call('PUT', '/other/replaced', { headers });
  const head = await fixture.client.call('HEAD', '/other/replaced');
  assert.equal(head.headers['x-amz-meta-a'], undefined);
  assert.equal(head.headers['x-amz-meta-b'], '2');
  assert.equal(head.headers['content-type'], 'binary/octet-stream');
});

test('invalid copies are refused', async () => {
  const outcome = async (path: string, headers: Record<string, string>): Promise<string> => {
    const { status, code } = await fixture.client.call('PUT', path, { headers });
    return `${status} ${code}`;
  };
  assert.equal(await outcome('/box/x', { 'x-amz-copy-source': 'box/none' }), '404 NoSuchKey');
  assert.equal(await outcome('/box/x', { 'x-amz-copy-source': 'none/none' }), '404 NoSuchBucket');
  assert.equal(await outcome('/box/x', { 'x-amz-copy-source': 'box' }), '400 InvalidArgument');
  assert.equal(await outcome('/box/x', { 'x-amz-copy-source': 'box/a?versionId=1' }), '501 NotImplemented');
  assert.equal(await outcome('/box/sou rce+ü', SOURCE), '400 InvalidRequest');
  const unless = { ...SOURCE, 'x-amz-copy-source-if-none-match': `"${md5Hex(BODY)}"` };
  assert.equal(await outcome('/box/x', unless), '412 PreconditionFailed');
  assert.equal((await fixture.client.call('HEAD', '/box/x')).status, 404);
});
