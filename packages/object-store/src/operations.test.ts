import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startStore, type StoreFixture } from '../../../test/harness/object-store/store-fixture.ts';
import { elementText } from '../../../test/harness/object-store/test-client.ts';

let fixture: StoreFixture;
before(async () => {
  fixture = await startStore();
  await fixture.client.call('PUT', '/box/key', { body: 'x' });
});
after(() => fixture[Symbol.asyncDispose]());

const BUCKET_SUBRESOURCES = [
  'acl', 'accelerate', 'analytics', 'cors', 'encryption', 'intelligent-tiering', 'inventory', 'lifecycle', 'logging',
  'metrics', 'notification', 'object-lock', 'ownershipControls', 'policy', 'policyStatus', 'publicAccessBlock',
  'replication', 'requestPayment', 'tagging', 'website',
]; // prettier-ignore

test('reading and writing unsupported bucket configuration returns 501', async () => {
  for (const name of [...BUCKET_SUBRESOURCES, 'made-up']) {
    for (const method of ['GET', 'PUT', 'DELETE']) {
      const { status, code } = await fixture.client.call(method, '/box', { query: { [name]: '' }, body: '' });
      assert.equal(`${status} ${code}`, '501 NotImplemented', `${method} ?${name}`);
    }
  }
  assert.equal((await fixture.client.call('HEAD', '/box')).status, 200);
});

test('versioning is reported as never enabled; enabling it returns 501', async () => {
  const read = await fixture.client.call('GET', '/box', { query: { versioning: '' } });
  assert.equal(read.status, 200);
  assert.match(read.text, /<VersioningConfiguration xmlns="[^"]+"><\/VersioningConfiguration>/);
  assert.equal((await fixture.client.call('PUT', '/box', { query: { versioning: '' } })).status, 501);
  assert.equal((await fixture.client.call('GET', '/box/key', { query: { versionId: 'v' } })).status, 501);
});

test('the error for an unsupported subresource names method and parameter', async () => {
  const message = async (method: string, path: string, name: string): Promise<string | undefined> => {
    const target = fixture.client.presign(method, path, { query: { [name]: '' } });
    const headers = { host: fixture.client.url.host };
    return elementText((await fixture.client.raw({ method, target, headers })).text, 'Message');
  };
  const quoted = '&quot;';
  for (const [method, path, name, target] of [
    ['PUT', '/box', 'versioning', 'a bucket'],
    ['PUT', '/box/key', 'tagging', 'an object'],
    ['POST', '/box', 'made-up', 'a bucket'],
  ] as const) {
    assert.equal(
      await message(method, path, name),
      `${method} on ${target} with the query parameter ${quoted}${name}${quoted} is not implemented by this store.`,
    );
  }
});

test('unsupported object features return 501 and change nothing', async () => {
  for (const name of ['acl', 'tagging', 'retention', 'legal-hold', 'torrent', 'attributes', 'made-up']) {
    for (const method of ['GET', 'PUT', 'DELETE']) {
      const { status } = await fixture.client.call(method, '/box/key', { query: { [name]: '' }, body: '' });
      assert.equal(status, 501, `${method} ?${name}`);
    }
  }
  assert.equal((await fixture.client.call('GET', '/box/key')).text, 'x');
});

test('unsupported headers are refused instead of ignored', async () => {
  const refused: ReadonlyArray<readonly [name: string, value: string, outcome: string]> = [
    ['x-amz-server-side-encryption', 'AES256', '400 InvalidArgument'],
    ['x-amz-server-side-encryption-customer-algorithm', 'AES256', '400 InvalidArgument'],
    ['x-amz-tagging', 'a=b', '501 NotImplemented'],
    ['x-amz-acl', 'public-read', '501 NotImplemented'],
    ['x-amz-grant-read', 'id=1', '501 NotImplemented'],
    ['x-amz-object-lock-mode', 'GOVERNANCE', '501 NotImplemented'],
    ['x-amz-website-redirect-location', '/x', '501 NotImplemented'],
    ['x-amz-expected-bucket-owner', '1', '501 NotImplemented'],
    ['x-amz-checksum-md5', 'AAAA', '501 NotImplemented'],
    ['x-amz-storage-class', 'CHEAPEST', '400 InvalidStorageClass'],
    ['if-none-match', '"etag"', '501 NotImplemented'],
    ['if-modified-since', 'Fri, 24 May 2013 00:00:00 GMT', '501 NotImplemented'],
  ];
  for (const [name, value, outcome] of refused) {
    const { status, code } = await fixture.client.call('PUT', '/box/refused', {
      headers: { [name]: value },
      body: 'x',
    });
    assert.equal(`${status} ${code}`, outcome, name);
  }
  assert.equal((await fixture.client.call('HEAD', '/box/refused')).status, 404);
});

test('a repeated query parameter is refused', async () => {
  const { client } = fixture;
  const target = `${client.presign('GET', '/box/key')}&X-Amz-Expires=600`;
  const { status } = await client.raw({ method: 'GET', target, headers: { host: client.url.host } });
  assert.equal(status, 400);
});

test('invalid methods and addresses are refused', async () => {
  assert.equal((await fixture.client.call('PATCH', '/box/key')).status, 405);
  assert.equal((await fixture.client.call('POST', '/box', { body: 'form' })).status, 501);
  assert.equal((await fixture.client.call('PUT', '/', { body: '' })).status, 501);
  const { client } = fixture;
  for (const target of ['/box/%zz', '/box/%ff', 'http://elsewhere/box/key']) {
    const { status } = await client.raw({ method: 'GET', target, headers: { host: client.url.host } });
    assert.equal(status, 400, target);
  }
});

test('buckets are created only once, and deleted only when empty', async () => {
  const { client } = fixture;
  assert.equal((await client.call('PUT', '/second')).status, 200);
  assert.equal((await client.call('PUT', '/second')).code, 'BucketAlreadyOwnedByYou');
  assert.match((await client.call('GET', '/')).text, /<Name>box<\/Name>.*<Name>second<\/Name>/);
  await client.call('PUT', '/second/key', { body: 'x' });
  assert.equal((await client.call('DELETE', '/second')).code, 'BucketNotEmpty');
  await client.call('DELETE', '/second/key');
  const uploadId = await client.createUpload('/second/key');
  assert.equal((await client.call('DELETE', '/second')).code, 'BucketNotEmpty');
  await client.call('DELETE', '/second/key', { query: { uploadId } });
  assert.equal((await client.call('DELETE', '/second')).status, 204);
  assert.equal((await client.call('HEAD', '/second')).status, 404);
  assert.equal((await client.call('PUT', '/second/key', { body: 'x' })).code, 'NoSuchBucket');
});

test('invalid bucket names are refused', async () => {
  for (const name of [
    'ab',
    'Upper',
    'a..b',
    '-ab',
    'ab-',
    '192.168.0.1',
    'x'.repeat(64),
    '...',
    'under_score',
  ]) {
    assert.equal((await fixture.client.call('PUT', `/${name}`)).code, 'InvalidBucketName', name);
  }
});

test('a bucket in another region is refused', async () => {
  const body =
    '<CreateBucketConfiguration><LocationConstraint>eu-west-1</LocationConstraint></CreateBucketConfiguration>';
  const { code } = await fixture.client.call('PUT', '/elsewhere', { body });
  assert.equal(code, 'InvalidLocationConstraint');
});
