import assert from 'node:assert/strict';
import type { ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { test } from 'node:test';
import { BucketError, type BucketErrorKind } from '../domain/ports/bucket.ts';
import { errorXml, FakeS3, quickTiming } from './fake-s3.ts';
import { S3Bucket } from './s3-bucket.ts';
import { toBucketError } from './s3-errors.ts';

const upload = { key: 'uploads/c/u/report.bin', s3UploadId: 'id' };
const completion = {
  parts: [{ partNumber: 1, etag: '"e"', crc32: 'AAAAAA==' }],
  sizeBytes: 1,
  crc32: 'AAAAAA==',
  checksumMode: 'none',
} as const;

const say = (status: number, body: string) => (response: ServerResponse) => {
  response.writeHead(status).end(body);
};

/** Runs one Complete against a store that answers it as given. */
async function failCompletion(answer: (response: ServerResponse) => void, timing = quickTiming) {
  await using fake = await FakeS3.start();
  await using bucket = new S3Bucket(fake.settings(), { timing });
  await bucket.capabilities();
  let completions = 0;
  fake.intercept = ({ method, query }, response) => {
    if (method !== 'POST' || !query.has('uploadId')) return false;
    completions++;
    answer(response);
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

const answers: {
  name: string;
  answer: (response: ServerResponse) => void;
  kind: BucketErrorKind;
  says: RegExp;
}[] = [
  {
    name: '200 with AccessDenied in the body',
    answer: say(200, errorXml('AccessDenied')),
    kind: 'refused',
    says: /s3:PutObject/,
  },
  {
    name: '200 with InternalError in the body',
    answer: say(200, errorXml('InternalError')),
    kind: 'unavailable',
    says: /InternalError/,
  },
  {
    name: '200 with nothing in the body',
    answer: say(200, ''),
    kind: 'unavailable',
    says: /bucket "bucket"/,
  },
  { name: '200 with white space only', answer: say(200, '  \n'), kind: 'unavailable', says: /cut off/ },
  {
    name: '200 with half a document',
    answer: say(200, '<CompleteMultipartUploadResult><Key>k'),
    kind: 'unavailable',
    says: /cut off/,
  },
  {
    name: "200 with somebody else's page",
    answer: say(200, '<html><body>hello</body></html>'),
    kind: 'unavailable',
    says: /S3_ENDPOINT/,
  },
  {
    name: '200 cut off before its length',
    answer: (response) => {
      response.writeHead(200, { 'content-length': 1_000 });
      response.write('<Complete', () => response.destroy());
    },
    kind: 'unavailable',
    says: /connection/,
  },
  { name: '404 NoSuchUpload', answer: say(404, errorXml('NoSuchUpload')), kind: 'upload_gone', says: /gone/ },
  { name: '412', answer: say(412, errorXml('PreconditionFailed')), kind: 'object_exists', says: /this key/ },
  {
    name: '409',
    answer: say(409, errorXml('ConditionalRequestConflict')),
    kind: 'upload_gone',
    says: /gone/,
  },
  { name: 'InvalidPart', answer: say(400, errorXml('InvalidPart')), kind: 'invalid_parts', says: /part/ },
  {
    name: 'EntityTooSmall',
    answer: say(400, errorXml('EntityTooSmall')),
    kind: 'invalid_parts',
    says: /part/,
  },
  { name: 'a wrong size', answer: say(400, errorXml('InvalidRequest')), kind: 'invalid_parts', says: /part/ },
  { name: 'BadDigest', answer: say(400, errorXml('BadDigest')), kind: 'checksum_mismatch', says: /checksum/ },
  {
    name: 'a 400 that is transient',
    answer: say(400, errorXml('RequestTimeout')),
    kind: 'unavailable',
    says: /RequestTimeout/,
  },
  { name: '503', answer: say(503, errorXml('SlowDown')), kind: 'unavailable', says: /busy/ },
  { name: '502 in HTML', answer: say(502, '<html>bad gateway</html>'), kind: 'unavailable', says: /busy/ },
  { name: '403 in HTML', answer: say(403, '<html>blocked</html>'), kind: 'refused', says: /policy/ },
  { name: '301', answer: say(301, errorXml('PermanentRedirect')), kind: 'refused', says: /AWS_REGION/ },
  {
    name: 'a wrong secret',
    answer: say(403, errorXml('SignatureDoesNotMatch')),
    kind: 'refused',
    says: /AWS_SECRET_ACCESS_KEY/,
  },
  {
    name: 'an unknown key',
    answer: say(403, errorXml('InvalidAccessKeyId')),
    kind: 'refused',
    says: /AWS_ACCESS_KEY_ID/,
  },
  {
    name: 'an unknown key, as versitygw names it',
    answer: say(404, errorXml('XAdminUserNotFound')),
    kind: 'refused',
    says: /AWS_ACCESS_KEY_ID/,
  },
  {
    name: 'expired credentials',
    answer: say(400, errorXml('ExpiredToken')),
    kind: 'unavailable',
    says: /AWS_SESSION_TOKEN/,
  },
  {
    name: 'a clock that is off',
    answer: say(403, errorXml('RequestTimeTooSkewed')),
    kind: 'unavailable',
    says: /clock/,
  },
  {
    name: 'an unlisted 4xx',
    answer: say(400, errorXml('NewlyInvented')),
    kind: 'refused',
    says: /NewlyInvented/,
  },
  {
    name: 'a 501 of any code',
    answer: say(501, errorXml('VersioningNotConfigured')),
    kind: 'refused',
    says: /does not offer this/,
  },
  {
    name: 'an unlisted 5xx',
    answer: say(555, errorXml('NewlyInvented')),
    kind: 'unavailable',
    says: /NewlyInvented/,
  },
  {
    name: 'a connection reset',
    answer: (response) => response.socket?.resetAndDestroy(),
    kind: 'unavailable',
    says: /connection/,
  },
];

for (const { name, answer, kind, says } of answers) {
  test(`Complete that ends with ${name} is ${kind}, and is not repeated`, async () => {
    const error = await failCompletion(answer);
    assert.equal(error.kind, kind);
    assert.match(error.message, says);
  });
}

test('a Complete that gets no answer ends at its deadline', async () => {
  const once = { maxAttempts: 1, attemptTimeoutMs: 500, deadlineMs: 500, baseDelayMs: 0, maxDelayMs: 0 };
  const silent = await failCompletion(() => undefined, { ...quickTiming, complete: once });
  assert.equal(silent.kind, 'unavailable');
  const stalled = await failCompletion(
    (response) => response.writeHead(200).write('<CompleteMultipartUploadResult>'),
    { ...quickTiming, complete: once },
  );
  assert.equal(stalled.kind, 'unavailable');
});

test('a peer that goes silent is given up after the idle time', async () => {
  const error = await failCompletion(() => undefined, { ...quickTiming, socketIdleMs: 500 });
  assert.equal(error.kind, 'unavailable');
  assert.match(error.message, /in time/);
});

test('connections that lie idle are not tried one by one once one has fallen silent', async () => {
  await using fake = await FakeS3.start();
  await using bucket = new S3Bucket(fake.settings(), {
    timing: { ...quickTiming, calls: { ...quickTiming.calls, attemptTimeoutMs: 500, maxAttempts: 2 } },
  });
  const silent = new Set<Socket | null>();
  const waiting: ServerResponse[] = [];
  fake.intercept = (_, response) => {
    silent.add(response.socket);
    waiting.push(response);
    if (waiting.length === 3) for (const each of waiting) say(403, errorXml('AccessDenied'))(each);
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
  assert.equal(asked, 2, 'the second time over a new one');
});

test('a burst of 503 and resets is ridden out', async () => {
  await using fake = await FakeS3.start();
  await using bucket = new S3Bucket(fake.settings(), { timing: quickTiming });
  await bucket.capabilities();
  const troubles = [
    say(503, errorXml('SlowDown')),
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

test('a HEAD answered by 400, which without a body may be a time-out, is asked again', async () => {
  await using fake = await FakeS3.start();
  await using bucket = new S3Bucket(fake.settings(), { timing: quickTiming });
  let refusals = 0;
  fake.intercept = ({ method }, response) => {
    if (method !== 'HEAD' || refusals === 1) return false;
    refusals++;
    say(400, '')(response);
    return true;
  };
  assert.equal(await bucket.head(upload.key), undefined);
  assert.equal(refusals, 1);
  fake.intercept = ({ method }, response) => {
    if (method === 'HEAD') say(400, '')(response);
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
  test(`${code} in response to a HEAD, which has no body, gets its own sentence`, async () => {
    await using fake = await FakeS3.start();
    await using bucket = new S3Bucket(fake.settings(), { timing: quickTiming });
    let heads = 0;
    fake.intercept = ({ method }, response) => {
      if (method === 'HEAD') heads += 1;
      say(status, method === 'HEAD' ? '' : errorXml(code))(response);
      return true;
    };
    await assert.rejects(bucket.head(upload.key), { kind, message: says });
    await assert.rejects(bucket.ping(), { kind, message: says });
    assert.ok(heads >= 2);
  });
}

test('a listing that calls the bucket a missing key tells of an endpoint that names the bucket', async () => {
  await using fake = await FakeS3.start();
  await using bucket = new S3Bucket(fake.settings(), { timing: quickTiming });
  fake.intercept = ({ method }, response) => {
    say(404, method === 'HEAD' ? '' : errorXml('NoSuchKey'))(response);
    return true;
  };
  await assert.rejects(bucket.ping(), { kind: 'refused', message: /S3_ENDPOINT/ });
  await assert.rejects(bucket.capabilities(), { kind: 'refused', message: /S3_ENDPOINT/ });
});

/** By the store's clock, which is right, this machine's is off by so much. */
function answerSkewed(fake: FakeS3, differenceMs: number): void {
  fake.intercept = ({ method }, response) => {
    response.setHeader('date', new Date(Date.now() - differenceMs).toUTCString());
    say(403, method === 'HEAD' ? '' : errorXml('RequestTimeTooSkewed'))(response);
    return true;
  };
}

for (const [minutes, words] of [
  [-20, /20 minutes behind the store's/],
  [20, /20 minutes ahead of the store's/],
  [-60 * 26, /26 hours behind/],
  [60 * 24 * 400, /400 days ahead/],
  [0, /by the store's clock it is too far off/],
] as const) {
  test(`a clock that is ${minutes} minutes off is named, and waited for, by every call`, async () => {
    await using fake = await FakeS3.start();
    await using bucket = new S3Bucket(fake.settings(), { timing: quickTiming });
    await bucket.capabilities();
    answerSkewed(fake, minutes * 60_000);
    const before = fake.requests.length;
    const skewed = { kind: 'unavailable', message: words } as const;
    await assert.rejects(bucket.ping(), skewed);
    await assert.rejects(bucket.head(upload.key), skewed);
    await assert.rejects(bucket.listParts(upload), skewed);
    await assert.rejects(bucket.completeMultipartUpload(upload, completion), skewed);
    const creating = { key: 'uploads/k', token: 't', checksumMode: 'none' } as const;
    await assert.rejects(bucket.createMultipartUpload(creating), skewed);
    // Were the SDK's clock corrected behind our back, only the agents' URLs would still be signed by the wrong one.
    for (const { headers } of fake.requests.slice(before)) {
      const [, year, month, day, hour, minute] =
        /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)/.exec(String(headers['x-amz-date'])) ?? [];
      const signedAt = Date.parse(`${year}-${month}-${day}T${hour}:${minute}:00Z`);
      assert.ok(Math.abs(signedAt - Date.now()) < 3 * 60_000, 'signed by this clock');
    }
  });
}

for (const message of ['Request has expired', 'Request is not valid yet']) {
  test(`“${message}” of a URL that was signed just now is a matter of the clock`, async () => {
    await using fake = await FakeS3.start();
    await using bucket = new S3Bucket(fake.settings(), { timing: quickTiming });
    let refused = 0;
    fake.intercept = ({ query }, response) => {
      if (!query.has('X-Amz-Signature')) return false;
      refused += 1;
      response.setHeader('date', new Date(Date.now() + 20 * 60_000).toUTCString());
      say(403, errorXml('AccessDenied').replace('said so', message))(response);
      return true;
    };
    await assert.rejects(bucket.capabilities(), { kind: 'unavailable', message: /20 minutes behind/ });
    assert.ok(refused > 0);
  });
}

test('what is permanent is asked once', async () => {
  await using fake = await FakeS3.start();
  await using bucket = new S3Bucket(fake.settings(), { timing: quickTiming });
  let asked = 0;
  fake.intercept = (_, response) => {
    asked++;
    say(403, errorXml('AccessDenied'))(response);
    return true;
  };
  await assert.rejects(bucket.listParts(upload), { kind: 'refused' });
  assert.equal(asked, 1);
});

test('a store that is not there is unavailable, and the message names its setting', async () => {
  const fake = await FakeS3.start();
  const settings = fake.settings();
  await fake[Symbol.asyncDispose]();
  await using bucket = new S3Bucket(settings, { timing: quickTiming });
  await assert.rejects(bucket.ping(), { kind: 'unavailable', message: /S3_ENDPOINT/ });
});

test('query strings and with them signatures never get into a message', () => {
  const error = Object.assign(new Error('denied: https://b.s3/k?X-Amz-Signature=abc&x=y for you'), {
    name: 'AccessDenied',
    $metadata: { httpStatusCode: 403 },
  });
  const verdict = toBucketError(error, { operation: 'UploadPart', bucket: 'b' });
  assert.ok(verdict instanceof BucketError);
  assert.doesNotMatch(verdict.message, /abc/);
});

test('a mistake of ours is not blamed on the store', () => {
  const mistake = new TypeError('x is not a function');
  assert.equal(toBucketError(mistake, { operation: 'ListParts', bucket: 'b' }), mistake);
});
