import assert from 'node:assert/strict';
import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { test } from 'node:test';
import { BucketError, type BucketErrorKind } from '../domain/ports/bucket.ts';
import { errorXml, FakeS3, quickTiming } from '../../../../test/doubles/fake-s3.ts';
import { S3Bucket } from './s3-bucket.ts';
import { toBucketError } from './s3-errors.ts';

const upload = { key: 'uploads/c/u/report.bin', s3UploadId: 'id' };
const completion = {
  parts: [{ partNumber: 1, etag: '"e"', crc32: 'AAAAAA==' }],
  sizeBytes: 1,
  crc32: 'AAAAAA==',
  checksumMode: 'none',
} as const;

const reply = (status: number, body: string) => (response: ServerResponse) => {
  response.writeHead(status).end(body);
};

/** Runs one Complete against a store that sends the given response. */
async function failCompletion(respond: (response: ServerResponse) => void, timing = quickTiming) {
  await using fake = await FakeS3.start();
  await using bucket = new S3Bucket(fake.settings(), { timing });
  await bucket.capabilities();
  let completions = 0;
  fake.intercept = ({ method, query }, response) => {
    if (method !== 'POST' || !query.has('uploadId')) return false;
    completions++;
    respond(response);
    return true;
  };
  const error = await bucket.completeMultipartUpload(upload, completion).then(
    () => undefined,
    (error: unknown) => error,
  );
  assert.ok(error instanceof BucketError, `Complete ended with ${String(error)}`);
  assert.equal(completions, 1, 'Complete was repeated');
  return error;
}

const cases: {
  name: string;
  respond: (response: ServerResponse) => void;
  kind: BucketErrorKind;
  says: RegExp;
}[] = [
  {
    name: '200 with AccessDenied in the body',
    respond: reply(200, errorXml('AccessDenied')),
    kind: 'refused',
    says: /s3:PutObject/,
  },
  {
    name: '200 with InternalError in the body',
    respond: reply(200, errorXml('InternalError')),
    kind: 'unavailable',
    says: /InternalError/,
  },
  {
    name: '200 with an empty body',
    respond: reply(200, ''),
    kind: 'unavailable',
    says: /bucket "bucket"/,
  },
  { name: '200 with white space only', respond: reply(200, '  \n'), kind: 'unavailable', says: /cut off/ },
  {
    name: '200 with half a document',
    respond: reply(200, '<CompleteMultipartUploadResult><Key>k'),
    kind: 'unavailable',
    says: /cut off/,
  },
  {
    name: '200 with a page of another server',
    respond: reply(200, '<html><body>hello</body></html>'),
    kind: 'unavailable',
    says: /S3_ENDPOINT/,
  },
  {
    name: '200 cut off before its length',
    respond: (response) => {
      response.writeHead(200, { 'content-length': 1_000 });
      response.write('<Complete', () => response.destroy());
    },
    kind: 'unavailable',
    says: /connection/,
  },
  {
    name: '404 NoSuchUpload',
    respond: reply(404, errorXml('NoSuchUpload')),
    kind: 'upload_gone',
    says: /no longer exists/,
  },
  {
    name: '412',
    respond: reply(412, errorXml('PreconditionFailed')),
    kind: 'object_exists',
    says: /this key/,
  },
  {
    name: '409',
    respond: reply(409, errorXml('ConditionalRequestConflict')),
    kind: 'upload_gone',
    says: /no longer exists/,
  },
  { name: 'InvalidPart', respond: reply(400, errorXml('InvalidPart')), kind: 'invalid_parts', says: /part/ },
  {
    name: 'EntityTooSmall',
    respond: reply(400, errorXml('EntityTooSmall')),
    kind: 'invalid_parts',
    says: /part/,
  },
  {
    name: 'a wrong size',
    respond: reply(400, errorXml('InvalidRequest')),
    kind: 'invalid_parts',
    says: /part/,
  },
  {
    name: 'BadDigest',
    respond: reply(400, errorXml('BadDigest')),
    kind: 'checksum_mismatch',
    says: /checksum/,
  },
  {
    name: 'a 400 that is transient',
    respond: reply(400, errorXml('RequestTimeout')),
    kind: 'unavailable',
    says: /RequestTimeout/,
  },
  { name: '503', respond: reply(503, errorXml('SlowDown')), kind: 'unavailable', says: /busy/ },
  { name: '502 in HTML', respond: reply(502, '<html>bad gateway</html>'), kind: 'unavailable', says: /busy/ },
  { name: '403 in HTML', respond: reply(403, '<html>blocked</html>'), kind: 'refused', says: /policy/ },
  { name: '301', respond: reply(301, errorXml('PermanentRedirect')), kind: 'refused', says: /AWS_REGION/ },
  {
    name: 'a wrong secret',
    respond: reply(403, errorXml('SignatureDoesNotMatch')),
    kind: 'refused',
    says: /AWS_SECRET_ACCESS_KEY/,
  },
  {
    name: 'an unknown key',
    respond: reply(403, errorXml('InvalidAccessKeyId')),
    kind: 'refused',
    says: /AWS_ACCESS_KEY_ID/,
  },
  {
    name: 'an unknown key, as versitygw names it',
    respond: reply(404, errorXml('XAdminUserNotFound')),
    kind: 'refused',
    says: /AWS_ACCESS_KEY_ID/,
  },
  {
    name: 'expired credentials',
    respond: reply(400, errorXml('ExpiredToken')),
    kind: 'unavailable',
    says: /AWS_SESSION_TOKEN/,
  },
  {
    name: 'a wrong clock',
    respond: reply(403, errorXml('RequestTimeTooSkewed')),
    kind: 'unavailable',
    says: /clock/,
  },
  {
    name: 'an unlisted 4xx',
    respond: reply(400, errorXml('NewlyInvented')),
    kind: 'refused',
    says: /NewlyInvented/,
  },
  {
    name: 'a 501 of any code',
    respond: reply(501, errorXml('VersioningNotConfigured')),
    kind: 'refused',
    says: /does not support this/,
  },
  {
    name: 'an unlisted 5xx',
    respond: reply(555, errorXml('NewlyInvented')),
    kind: 'unavailable',
    says: /NewlyInvented/,
  },
  {
    name: 'a connection reset',
    respond: (response) => response.socket?.resetAndDestroy(),
    kind: 'unavailable',
    says: /connection/,
  },
];

for (const { name, respond, kind, says } of cases) {
  test(`Complete that ends with ${name} is ${kind} and is not retried`, async () => {
    const error = await failCompletion(respond);
    assert.equal(error.kind, kind);
    assert.match(error.message, says);
  });
}

test('a Complete without response ends at its deadline', async () => {
  const once = { maxAttempts: 1, attemptTimeoutMs: 500, deadlineMs: 500, baseDelayMs: 0, maxDelayMs: 0 };
  const silent = await failCompletion(() => undefined, { ...quickTiming, complete: once });
  assert.equal(silent.kind, 'unavailable');
  const stalled = await failCompletion(
    (response) => response.writeHead(200).write('<CompleteMultipartUploadResult>'),
    { ...quickTiming, complete: once },
  );
  assert.equal(stalled.kind, 'unavailable');
});

test('a silent peer is given up after the idle timeout', async () => {
  const error = await failCompletion(() => undefined, { ...quickTiming, socketIdleMs: 500 });
  assert.equal(error.kind, 'unavailable');
  assert.match(error.message, /in time/);
});

test('idle connections are dropped once one connection has fallen silent', async () => {
  await using fake = await FakeS3.start();
  await using bucket = new S3Bucket(fake.settings(), {
    timing: { ...quickTiming, calls: { ...quickTiming.calls, attemptTimeoutMs: 500, maxAttempts: 2 } },
  });
  const silent = new Set<Socket | null>();
  const waiting: ServerResponse[] = [];
  fake.intercept = (_, response) => {
    silent.add(response.socket);
    waiting.push(response);
    if (waiting.length === 3) for (const each of waiting) reply(403, errorXml('AccessDenied'))(each);
    return true;
  };
  const refused = () => assert.rejects(bucket.listParts(upload), { kind: 'refused' });
  await Promise.all([refused(), refused(), refused()]);
  assert.equal(silent.size, 3);
  let asked = 0;
  fake.intercept = (_, { socket }) => {
    asked += 1;
    return silent.has(socket);
  };
  assert.equal(await bucket.head('uploads/k'), undefined);
  assert.equal(asked, 2, 'the second request uses a new connection');
});

test('retries survive a burst of 503 and resets', async () => {
  await using fake = await FakeS3.start();
  await using bucket = new S3Bucket(fake.settings(), { timing: quickTiming });
  await bucket.capabilities();
  const troubles = [
    reply(503, errorXml('SlowDown')),
    (response: ServerResponse) => response.socket?.resetAndDestroy(),
  ];
  fake.intercept = (_, response) => {
    const trouble = troubles.shift();
    trouble?.(response);
    return trouble !== undefined;
  };
  await bucket.createMultipartUpload({ key: 'uploads/k', token: 't', checksumMode: 'none' });
  assert.equal(troubles.length, 0);
});

test('a HEAD that gets 400, which may be a timeout, is retried', async () => {
  await using fake = await FakeS3.start();
  await using bucket = new S3Bucket(fake.settings(), { timing: quickTiming });
  let refusals = 0;
  fake.intercept = ({ method }, response) => {
    if (method !== 'HEAD' || refusals === 1) return false;
    refusals++;
    reply(400, '')(response);
    return true;
  };
  assert.equal(await bucket.head(upload.key), undefined);
  assert.equal(refusals, 1);
  fake.intercept = ({ method }, response) => {
    if (method === 'HEAD') reply(400, '')(response);
    return method === 'HEAD';
  };
  await assert.rejects(bucket.head(upload.key), { kind: 'unavailable' });
});

for (const [status, code, kind, says] of [
  [403, 'SignatureDoesNotMatch', 'refused', /AWS_SECRET_ACCESS_KEY/],
  [403, 'InvalidAccessKeyId', 'refused', /AWS_ACCESS_KEY_ID/],
  [403, 'RequestTimeTooSkewed', 'unavailable', /clock/],
  [400, 'ExpiredToken', 'unavailable', /AWS_SESSION_TOKEN/],
  [400, 'AuthorizationHeaderMalformed', 'refused', /AWS_REGION/],
] as const) {
  test(`${code} in response to a HEAD, which has no body, gets its specific message`, async () => {
    await using fake = await FakeS3.start();
    await using bucket = new S3Bucket(fake.settings(), { timing: quickTiming });
    let heads = 0;
    fake.intercept = ({ method }, response) => {
      if (method === 'HEAD') heads += 1;
      reply(status, method === 'HEAD' ? '' : errorXml(code))(response);
      return true;
    };
    await assert.rejects(bucket.head(upload.key), { kind, message: says });
    await assert.rejects(bucket.ping(), { kind, message: says });
    assert.ok(heads >= 2);
  });
}

test('a listing that reports a missing key reveals an endpoint that includes the bucket name', async () => {
  await using fake = await FakeS3.start();
  await using bucket = new S3Bucket(fake.settings(), { timing: quickTiming });
  fake.intercept = ({ method }, response) => {
    reply(404, method === 'HEAD' ? '' : errorXml('NoSuchKey'))(response);
    return true;
  };
  await assert.rejects(bucket.ping(), { kind: 'refused', message: /S3_ENDPOINT/ });
  await assert.rejects(bucket.capabilities(), { kind: 'refused', message: /S3_ENDPOINT/ });
});

/** Responds as a store whose clock, which is right, differs from this machine's by `differenceMs`. */
function respondSkewed(fake: FakeS3, differenceMs: number): void {
  fake.intercept = ({ method }, response) => {
    response.setHeader('date', new Date(Date.now() - differenceMs).toUTCString());
    reply(403, method === 'HEAD' ? '' : errorXml('RequestTimeTooSkewed'))(response);
    return true;
  };
}

for (const [minutes, words] of [
  [-20, /20 minutes behind the store's/],
  [20, /20 minutes ahead of the store's/],
  [-60 * 26, /26 hours behind/],
  [60 * 24 * 400, /400 days ahead/],
  [0, /it differs too much from the store's/],
] as const) {
  test(`every call reports a clock that is ${minutes} minutes off and treats it as transient`, async () => {
    await using fake = await FakeS3.start();
    await using bucket = new S3Bucket(fake.settings(), { timing: quickTiming });
    await bucket.capabilities();
    respondSkewed(fake, minutes * 60_000);
    const before = fake.requests.length;
    const skewed = { kind: 'unavailable', message: words } as const;
    await assert.rejects(bucket.ping(), skewed);
    await assert.rejects(bucket.head(upload.key), skewed);
    await assert.rejects(bucket.listParts(upload), skewed);
    await assert.rejects(bucket.completeMultipartUpload(upload, completion), skewed);
    const creating = { key: 'uploads/k', token: 't', checksumMode: 'none' } as const;
    await assert.rejects(bucket.createMultipartUpload(creating), skewed);
    // If the SDK silently corrected its clock, only the agents' URLs would still be signed by the wrong one.
    for (const { headers } of fake.requests.slice(before)) {
      const [, year, month, day, hour, minute] =
        /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)/.exec(String(headers['x-amz-date'])) ?? [];
      const signedAt = Date.parse(`${year}-${month}-${day}T${hour}:${minute}:00Z`);
      assert.ok(Math.abs(signedAt - Date.now()) < 3 * 60_000, 'signed by this clock');
    }
  });
}

for (const message of ['Request has expired', 'Request is not valid yet']) {
  test(`“${message}” of a URL that was just signed means a wrong clock`, async () => {
    await using fake = await FakeS3.start();
    await using bucket = new S3Bucket(fake.settings(), { timing: quickTiming });
    let refused = 0;
    fake.intercept = ({ query }, response) => {
      if (!query.has('X-Amz-Signature')) return false;
      refused += 1;
      response.setHeader('date', new Date(Date.now() + 20 * 60_000).toUTCString());
      reply(403, errorXml('AccessDenied').replace('said so', message))(response);
      return true;
    };
    await assert.rejects(bucket.capabilities(), { kind: 'unavailable', message: /20 minutes behind/ });
    assert.ok(refused > 0);
  });
}

test('a permanent error is not retried', async () => {
  await using fake = await FakeS3.start();
  await using bucket = new S3Bucket(fake.settings(), { timing: quickTiming });
  let asked = 0;
  fake.intercept = (_, response) => {
    asked++;
    reply(403, errorXml('AccessDenied'))(response);
    return true;
  };
  await assert.rejects(bucket.listParts(upload), { kind: 'refused' });
  assert.equal(asked, 1);
});

test('an unreachable store is unavailable, and the message names its setting', async () => {
  const fake = await FakeS3.start();
  const settings = fake.settings();
  await fake[Symbol.asyncDispose]();
  await using bucket = new S3Bucket(settings, { timing: quickTiming });
  await assert.rejects(bucket.ping(), { kind: 'unavailable', message: /S3_ENDPOINT/ });
});

test('query strings, which contain signatures, never get into a message', () => {
  const error = Object.assign(new Error('denied: https://b.s3/k?X-Amz-Signature=abc&x=y for you'), {
    name: 'AccessDenied',
    $metadata: { httpStatusCode: 403 },
  });
  const translated = toBucketError(error, { operation: 'UploadPart', bucket: 'b' });
  assert.ok(translated instanceof BucketError);
  assert.doesNotMatch(translated.message, /abc/);
});

test('an internal error is not blamed on the store', () => {
  const mistake = new TypeError('x is not a function');
  assert.equal(toBucketError(mistake, { operation: 'ListParts', bucket: 'b' }), mistake);
});
