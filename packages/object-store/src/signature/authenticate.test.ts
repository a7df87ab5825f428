import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodeAwsChunked } from '../body/aws-chunked.ts';
import { S3Error } from '../errors.ts';
import { parseRequestTarget } from '../http/request-head.ts';
import { authenticate } from './authenticate.ts';

/*
 * Examples from Amazon's documentation: "Signature Calculations for the Authorization Header: Transferring
 * Payload in a Single Chunk", "… in Multiple Chunks", "… with trailing headers" and "Authenticating Requests: Using
 * Query Parameters", Amazon S3 API Reference.
 */
const CREDENTIALS = {
  accessKey: 'AKIAIOSFODNN7EXAMPLE',
  secretKey: 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY',
  region: 'us-east-1',
};
const NOW_MS = Date.UTC(2013, 4, 24);
const EMPTY_SHA256 = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855';

interface Example {
  readonly name: string;
  readonly method: string;
  readonly target: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly signature: string;
}

const HOST = 'examplebucket.s3.amazonaws.com';
const EXAMPLES: readonly Example[] = [
  {
    name: 'GET Object',
    method: 'GET',
    target: '/test.txt',
    headers: { host: HOST, range: 'bytes=0-9', 'x-amz-content-sha256': EMPTY_SHA256 },
    signature: 'f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41',
  },
  {
    name: 'PUT Object',
    method: 'PUT',
    target: '/test$file.text',
    headers: {
      date: 'Fri, 24 May 2013 00:00:00 GMT',
      host: HOST,
      'x-amz-content-sha256': '44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072',
      'x-amz-storage-class': 'REDUCED_REDUNDANCY',
    },
    signature: '98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd',
  },
  {
    name: 'GET Bucket Lifecycle',
    method: 'GET',
    target: '/?lifecycle',
    headers: { host: HOST, 'x-amz-content-sha256': EMPTY_SHA256 },
    signature: 'fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543',
  },
  {
    name: 'List Objects',
    method: 'GET',
    target: '/?max-keys=2&prefix=J',
    headers: { host: HOST, 'x-amz-content-sha256': EMPTY_SHA256 },
    signature: '34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7',
  },
];

function requestOf({ method, target, headers }: Omit<Example, 'name'>, signature: string) {
  const withDate = { ...headers, 'x-amz-date': '20130524T000000Z' };
  const names = Object.keys(withDate).sort().join(';');
  const authorization = `AWS4-HMAC-SHA256 Credential=${CREDENTIALS.accessKey}/20130524/us-east-1/s3/aws4_request,SignedHeaders=${names},Signature=${signature}`;
  return {
    method,
    target: parseRequestTarget(target),
    headers: new Map(Object.entries({ ...withDate, authorization })),
  };
}

const codeIs = (code: string) => (error: unknown) => error instanceof S3Error && error.code === code;

for (const example of EXAMPLES) {
  test(`the documented signature of "${example.name}" is accepted, and no other`, () => {
    const { signature } = authenticate(requestOf(example, example.signature), CREDENTIALS, NOW_MS);
    assert.equal(signature, example.signature);
    const wrong = example.signature.replace(/^./, (c) => (c === '0' ? '1' : '0'));
    assert.throws(
      () => authenticate(requestOf(example, wrong), CREDENTIALS, NOW_MS),
      codeIs('SignatureDoesNotMatch'),
    );
  });
}

const PRESIGNED =
  '/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404';

test('the documented presigned URL is accepted until it expires', () => {
  const request = {
    method: 'GET',
    target: parseRequestTarget(PRESIGNED),
    headers: new Map([['host', HOST]]),
  };
  assert.equal(authenticate(request, CREDENTIALS, NOW_MS).presigned, true);
  assert.equal(authenticate(request, CREDENTIALS, NOW_MS + 86_400_000).presigned, true);
  assert.throws(() => authenticate(request, CREDENTIALS, NOW_MS + 86_401_000), codeIs('AccessDenied'));
});

async function decode(frames: Buffer, options: Parameters<typeof decodeAwsChunked>[1]) {
  async function* body() {
    // In pieces of odd sizes, so that headers and data are split at any position.
    for (let at = 0; at < frames.length; at += 1009) yield frames.subarray(at, at + 1009);
    await Promise.resolve();
  }
  let trailers: ReadonlyMap<string, string> = new Map();
  let sizeBytes = 0;
  for await (const chunk of decodeAwsChunked(body(), options, (found) => (trailers = found))) {
    sizeBytes += chunk.length;
  }
  return { sizeBytes, trailers };
}

function chunkedExample(payloadHash: string, extra: Readonly<Record<string, string>>, signature: string) {
  return requestOf(
    {
      method: 'PUT',
      target: '/examplebucket/chunkObject.txt',
      headers: {
        host: 's3.amazonaws.com',
        'content-encoding': 'aws-chunked',
        'x-amz-content-sha256': payloadHash,
        'x-amz-decoded-content-length': '66560',
        'x-amz-storage-class': 'REDUCED_REDUNDANCY',
        ...extra,
      },
      signature,
    },
    signature,
  );
}

function frames(signatures: readonly string[], trailer = ''): Buffer {
  const [first, second, last] = signatures;
  return Buffer.from(
    `10000;chunk-signature=${first}\r\n${'a'.repeat(65_536)}\r\n400;chunk-signature=${second}\r\n${'a'.repeat(1024)}\r\n0;chunk-signature=${last}\r\n${trailer}\r\n`,
  );
}

test('the documented chunk signatures are accepted, and a changed byte is not', async () => {
  const seed = '4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9';
  const request = chunkedExample('STREAMING-AWS4-HMAC-SHA256-PAYLOAD', { 'content-length': '66824' }, seed);
  const options = { authentication: authenticate(request, CREDENTIALS, NOW_MS), trailerNames: undefined };
  const good = frames([
    'ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648',
    '0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497',
    'b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9',
  ]);
  assert.equal((await decode(good, options)).sizeBytes, 66_560);
  const changed = Buffer.from(good);
  changed[70_000 - 4000] = 'b'.charCodeAt(0);
  await assert.rejects(decode(changed, options), codeIs('SignatureDoesNotMatch'));
});

test('the documented trailer signature is accepted, and a changed trailer is not', async () => {
  const seed = '106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e';
  const request = chunkedExample(
    'STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER',
    { 'x-amz-trailer': 'x-amz-checksum-crc32c' },
    seed,
  );
  const options = {
    authentication: authenticate(request, CREDENTIALS, NOW_MS),
    trailerNames: ['x-amz-checksum-crc32c'],
  };
  const signatures = [
    'b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2',
    '1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7',
    '2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992',
  ];
  const trailerSignature = 'd81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435';
  const trailer = (value: string): string =>
    `x-amz-checksum-crc32c:${value}\r\nx-amz-trailer-signature:${trailerSignature}\r\n`;
  const { trailers } = await decode(frames(signatures, trailer('sOO8/Q==')), options);
  assert.equal(trailers.get('x-amz-checksum-crc32c'), 'sOO8/Q==');
  await assert.rejects(
    decode(frames(signatures, trailer('sOO8/A==')), options),
    codeIs('SignatureDoesNotMatch'),
  );
});
