import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startStore, type StoreFixture } from '../../../../test/harness/object-store/store-fixture.ts';
import { sha256Hex, type SignedCall } from '../../../../test/harness/object-store/test-client.ts';

let fixture: StoreFixture;
before(async () => void (fixture = await startStore()));
after(() => fixture[Symbol.asyncDispose]());

const MINUTE_MS = 60_000;
const ago = (minutes: number): Date => new Date(Date.now() - minutes * MINUTE_MS);

async function refusal(call: SignedCall): Promise<string> {
  const { status, code } = await fixture.client.call('PUT', '/box/refused', { body: 'x', ...call });
  return `${status} ${code}`;
}

test('a wrong secret, an unknown key, another region and a wrong clock have different errors', async () => {
  assert.equal(await refusal({ secretKey: 'other' }), '403 SignatureDoesNotMatch');
  assert.equal(await refusal({ accessKey: 'nobody' }), '403 InvalidAccessKeyId');
  assert.equal(await refusal({ region: 'eu-west-1' }), '400 AuthorizationHeaderMalformed');
  assert.equal(await refusal({ date: ago(16) }), '403 RequestTimeTooSkewed');
  assert.equal(await refusal({ date: ago(-16) }), '403 RequestTimeTooSkewed');
  assert.equal(await refusal({ date: ago(14) }), '200 undefined');
});

test('session tokens are refused, because this store issues none', async () => {
  assert.equal(await refusal({ headers: { 'x-amz-security-token': 'token' } }), '400 InvalidToken');
});

test('a request without a signature is refused', async () => {
  const { status, code } = await fixture.client.raw({
    method: 'GET',
    target: '/box/key',
    headers: { host: fixture.client.url.host },
  });
  assert.equal(`${status} ${code}`, '403 AccessDenied');
});

test('an x-amz header that is not signed is refused, by header and by URL', async () => {
  const extra = { 'x-amz-meta-owner': 'mallory' };
  assert.equal(await refusal({ unsignedHeaders: extra }), '403 AccessDenied');
  const target = fixture.client.presign('PUT', '/box/refused');
  const reply = await fixture.client.putPresigned(target, Buffer.from('x'), extra);
  assert.equal(`${reply.status} ${reply.code}`, '403 AccessDenied');
});

test('changing a signed header, the path, the query or the method invalidates the signature', async () => {
  const { client } = fixture;
  const signed = client.signed('PUT', '/box/a', { body: 'x', headers: { 'x-amz-meta-a': '1' } });
  const outcome = async (change: Partial<typeof signed>): Promise<string | undefined> =>
    (await client.raw({ ...signed, ...change })).code;
  assert.equal(await outcome({}), undefined);
  assert.equal(
    await outcome({ headers: { ...signed.headers, 'x-amz-meta-a': '2' } }),
    'SignatureDoesNotMatch',
  );
  assert.equal(await outcome({ target: '/box/b' }), 'SignatureDoesNotMatch');
  assert.equal(await outcome({ target: '/box/a?partNumber=1&uploadId=x' }), 'SignatureDoesNotMatch');
  assert.equal(await outcome({ method: 'DELETE' }), 'SignatureDoesNotMatch');
});

test('a presigned URL is valid only with its signed headers, including content-length', async () => {
  const { client } = fixture;
  const target = client.presign('PUT', '/box/bound', { headers: { 'content-length': '5' } });
  assert.equal((await client.putPresigned(target, Buffer.from('hello'))).status, 200);
  assert.equal((await client.putPresigned(target, Buffer.from('hello!'))).code, 'SignatureDoesNotMatch');
});

test('a presigned URL is refused after it expires and before it is valid', async () => {
  const { client } = fixture;
  const put = async (call: { date: Date; expiresInSeconds: number }): Promise<string> => {
    const reply = await client.putPresigned(client.presign('PUT', '/box/timed', call), Buffer.from('x'));
    return `${reply.status} ${reply.code} ${/<Message>([^<]*)/.exec(reply.text)?.[1]}`;
  };
  assert.match(await put({ date: ago(5), expiresInSeconds: 299 }), /^403 AccessDenied Request has expired/);
  assert.match(await put({ date: ago(-20), expiresInSeconds: 60 }), /^403 AccessDenied Request is not yet/);
  assert.match(await put({ date: ago(5), expiresInSeconds: 600 }), /^200 /);
});

test('X-Amz-Expires must be between a second and a week', async () => {
  const { client } = fixture;
  for (const expiresInSeconds of [0, 604_801, '-1', '1e3', '']) {
    const target = client.presign('PUT', '/box/timed', { expiresInSeconds });
    const { status, code } = await client.putPresigned(target, Buffer.from('x'));
    assert.equal(`${status} ${code}`, '400 AuthorizationQueryParametersError', String(expiresInSeconds));
  }
  const week = client.presign('PUT', '/box/timed', { expiresInSeconds: 604_800 });
  assert.equal((await client.putPresigned(week, Buffer.from('x'))).status, 200);
});

test('host must be signed', async () => {
  const { client } = fixture;
  const signed = client.signed('GET', '/box');
  const authorization = signed.headers['authorization']?.replace('SignedHeaders=host;', 'SignedHeaders=');
  const { code } = await client.raw({
    ...signed,
    headers: { ...signed.headers, authorization: authorization ?? '' },
  });
  // Omitting it changes the canonical request, so the signature check fails first.
  assert.equal(code, 'SignatureDoesNotMatch');
});

test('a body that differs from its signed SHA-256 is not stored', async () => {
  const outcome = await refusal({ body: 'forged', payloadHash: sha256Hex('original') });
  assert.equal(outcome, '400 XAmzContentSHA256Mismatch');
});

test('a signature in both header and query is refused', async () => {
  const { client } = fixture;
  const { headers } = client.signed('GET', '/box/a');
  const { status, code } = await client.raw({
    method: 'GET',
    target: client.presign('GET', '/box/a'),
    headers,
  });
  assert.equal(`${status} ${code}`, '400 InvalidArgument');
});
