import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { BucketCapabilities } from '../../domain/ports/bucket.ts';
import { errorXml, type FakeHabits, FakeS3, quickTiming } from '../../../../../test/doubles/fake-s3.ts';
import { S3Bucket } from '../s3-bucket.ts';
import type { S3Settings } from '../s3-settings.ts';

/** Probes a store with these habits, and checks that nothing was left behind. */
async function probe(
  habits: Partial<FakeHabits>,
  settings: Partial<S3Settings> = {},
): Promise<BucketCapabilities> {
  await using fake = await FakeS3.start(habits);
  await using bucket = new S3Bucket(fake.settings(settings), { timing: quickTiming });
  try {
    return await bucket.capabilities();
  } finally {
    assert.equal(fake.uploads.size, 0, 'uploads were left');
    assert.equal(fake.objects.size, 0, 'objects were left');
  }
}

const everything: BucketCapabilities = {
  checksumMode: 'crc32',
  fullObjectChecksum: true,
  conditionalComplete: true,
  objectSizeCheck: true,
  partProof: 'checksum',
  conditionalPut: true,
  emptyObjectCrc32: true,
  serverSideEncryption: 'AES256',
  storageClass: 'INTELLIGENT_TIERING',
};

test('every feature is used with a store that supports all of them', async () => {
  assert.deepEqual(await probe({}), everything);
});

test('no feature is used with a store that accepts everything and ignores it', async () => {
  const careless = await probe({
    crc32: false,
    sha256: false,
    md5: false,
    fullObjectCrc32: false,
    onlyIfAbsent: false,
    objectSize: false,
    putOnlyIfAbsent: false,
    sse: 'ignored',
    storageClass: 'ignored',
  });
  assert.deepEqual(careless, {
    checksumMode: 'none',
    fullObjectChecksum: false,
    conditionalComplete: false,
    objectSizeCheck: false,
    partProof: 'etag',
    conditionalPut: false,
    emptyObjectCrc32: false,
    serverSideEncryption: null,
    storageClass: null,
  });
});

const withoutCrc32 = { checksumMode: 'md5', fullObjectChecksum: false, emptyObjectCrc32: false } as const;

const single: { name: string; habits: Partial<FakeHabits>; lacks: Partial<BucketCapabilities> }[] = [
  {
    name: 'ignores CRC32',
    habits: { crc32: false },
    lacks: withoutCrc32,
  },
  {
    name: 'refuses CRC32',
    habits: { checksumsRefused: true },
    lacks: withoutCrc32,
  },
  {
    name: 'stores no checksum of whole objects',
    habits: { fullObjectCrc32: false },
    lacks: withoutCrc32,
  },
  { name: 'ignores If-None-Match', habits: { onlyIfAbsent: false }, lacks: { conditionalComplete: false } },
  { name: 'ignores MpuObjectSize', habits: { objectSize: false }, lacks: { objectSizeCheck: false } },
  { name: 'ignores encryption', habits: { sse: 'ignored' }, lacks: { serverSideEncryption: null } },
  { name: 'refuses encryption', habits: { sse: 'refused' }, lacks: { serverSideEncryption: null } },
  { name: 'ignores the storage class', habits: { storageClass: 'ignored' }, lacks: { storageClass: null } },
  { name: 'refuses the storage class', habits: { storageClass: 'refused' }, lacks: { storageClass: null } },
  { name: 'fails with encryption', habits: { sse: 'broken' }, lacks: { serverSideEncryption: null } },
  { name: 'fails with the storage class', habits: { storageClass: 'broken' }, lacks: { storageClass: null } },
  { name: 'lists parts without checksum', habits: { listedParts: 'etag' }, lacks: { partProof: 'etag' } },
  {
    name: 'lists a part twice that was sent twice',
    habits: { listedParts: 'twice' },
    lacks: { partProof: 'none' },
  },
  { name: 'lists wrong ETags', habits: { listedParts: 'other_etag' }, lacks: { partProof: 'none' } },
  {
    name: 'has the same ETag for all parts',
    habits: { listedParts: 'same_etag' },
    lacks: { partProof: 'none' },
  },
  { name: 'lists no parts', habits: { listedParts: 'nothing' }, lacks: { partProof: 'none' } },
  { name: 'forbids listing parts', habits: { listedParts: 'refused' }, lacks: { partProof: 'none' } },
  { name: 'fails ListParts', habits: { listedParts: 'broken' }, lacks: { partProof: 'none' } },
  {
    name: 'ignores If-None-Match of PutObject',
    habits: { putOnlyIfAbsent: false },
    lacks: { conditionalPut: false },
  },
  {
    name: 'rejects the checksum of an empty object',
    habits: { emptyObjects: 'without_checksum' },
    lacks: { emptyObjectCrc32: false },
  },
  {
    name: 'rejects empty objects',
    habits: { emptyObjects: 'refused' },
    lacks: { emptyObjectCrc32: false, conditionalPut: false },
  },
  {
    name: 'fails with empty objects',
    habits: { emptyObjects: 'broken' },
    lacks: { emptyObjectCrc32: false, conditionalPut: false },
  },
];

for (const { name, habits, lacks } of single) {
  test(`a store that ${name} is used without it and with all other features`, async () => {
    assert.deepEqual(await probe(habits), { ...everything, ...lacks });
  });
}

test('a store that keeps failing with a feature but not without it does not support the feature', async () => {
  const fails: [name: string, header: string, lacks: Partial<BucketCapabilities>][] = [
    ['the checksum', 'x-amz-checksum-algorithm', withoutCrc32],
    ['If-None-Match', 'if-none-match', { conditionalComplete: false, conditionalPut: false }],
    ['the object size', 'x-amz-mp-object-size', { objectSizeCheck: false }],
  ];
  for (const [name, header, lacks] of fails) {
    await using fake = await FakeS3.start();
    await using bucket = new S3Bucket(fake.settings(), { timing: quickTiming });
    let failed = 0;
    fake.intercept = ({ headers }, response) => {
      if (headers[header] === undefined) return false;
      failed += 1;
      response.writeHead(500).end(errorXml('InternalError'));
      return true;
    };
    assert.deepEqual(await bucket.capabilities(), { ...everything, ...lacks }, name);
    assert.ok(failed > 1, name);
  }
});

test('one failed Complete, or one lost response, disables no feature and does not stop the start', async () => {
  for (const isLost of [false, true]) {
    await using fake = await FakeS3.start({ versioned: isLost });
    const required = { sse: { wanted: 'AES256', required: true } };
    await using bucket = new S3Bucket(fake.settings(required), { timing: quickTiming });
    const failed = new Set<string>();
    fake.intercept = ({ method, query }, response) => {
      const uploadId = query.get('uploadId');
      if (method !== 'POST' || uploadId === null || failed.has(uploadId)) return false;
      failed.add(uploadId);
      if (isLost) response.end = () => response.destroy();
      else response.writeHead(503).end(errorXml('SlowDown'));
      return !isLost;
    };
    assert.deepEqual(await bucket.capabilities(), everything, isLost ? 'lost' : 'failed');
    assert.ok(failed.size > 5);
    assert.deepEqual([fake.uploads.size, fake.objects.size], [0, 0], 'something was left');
  }
});

test('a store that accepts Create with encryption but fails the part does not support encryption', async () => {
  await using fake = await FakeS3.start();
  await using bucket = new S3Bucket(fake.settings(), { timing: quickTiming });
  let failed = 0;
  fake.intercept = ({ method, query }, response) => {
    const upload = fake.uploads.get(query.get('uploadId') ?? '');
    if (method !== 'PUT' || upload?.headers['x-amz-server-side-encryption'] === undefined) return false;
    failed += 1;
    response.writeHead(500).end(errorXml('InternalError'));
    return true;
  };
  assert.deepEqual(await bucket.capabilities(), { ...everything, serverSideEncryption: null });
  assert.ok(failed > 1, 'after retries');
  const finding = (await bucket.diagnose()).find(({ name }) => name === 's3_encryption');
  assert.equal(finding?.level, 'warning');
  assert.match(
    finding.detail,
    /^AES256 is not used: .*InternalError.* Without it, the store accepts uploads\.$/,
  );
});

test('an explicitly set feature is never dropped: the start fails and names the setting', async () => {
  for (const wanted of ['AES256', 'aws:kms']) {
    for (const sse of ['ignored', 'refused', 'broken'] as const) {
      const message = new RegExp(`^S3_SSE=${wanted} is set, but `);
      const required = { sse: { wanted, required: true } };
      await assert.rejects(probe({ sse }, required), { kind: 'refused', message }, `${wanted} ${sse}`);
    }
  }
  const cold = { storageClass: { wanted: 'GLACIER_IR', required: true } };
  await assert.rejects(probe({ storageClass: 'broken' }, cold), {
    kind: 'refused',
    message: /^S3_STORAGE_CLASS=GLACIER_IR is set, but /,
  });
});

test('a store that drops metadata is refused with an explanation, and nothing is left behind', async () => {
  await assert.rejects(probe({ metadata: false }), {
    kind: 'refused',
    message: /drops the metadata of objects.*x-amz-meta-backhaul-token/,
  });
});

test('findings report that parts are re-sent after an agent restart, or that empty files fail, with the reason', async () => {
  const finding = async (habits: Partial<FakeHabits>, name: string) => {
    await using fake = await FakeS3.start(habits);
    await using bucket = new S3Bucket(fake.settings(), { timing: quickTiming });
    return (await bucket.diagnose()).find((one) => one.name === name);
  };
  for (const [listedParts, reason] of [
    ['nothing', /does not show a part/],
    ['twice', /a re-sent part twice/],
    ['refused', /AccessDenied/],
    ['broken', /InternalError/],
    ['other_etag', /another ETag/],
    ['same_etag', /the same ETag/],
  ] as const) {
    const resume = await finding({ listedParts }, 's3_resume');
    assert.equal(resume?.level, 'warning');
    assert.match(resume.detail, reason);
    assert.ok(resume.fix !== null);
  }
  assert.equal((await finding({ listedParts: 'etag' }, 's3_resume'))?.level, 'ok');
  const empty = await finding({ emptyObjects: 'refused' }, 's3_empty_object');
  assert.equal(empty?.level, 'warning');
  assert.match(empty.detail, /empty files fail: .*InvalidRequest/);
  assert.equal((await finding({ emptyObjects: 'without_checksum' }, 's3_empty_object'))?.level, 'ok');
});

for (const [header, lacks] of [
  ['if-none-match', { conditionalComplete: false, conditionalPut: false }],
  ['x-amz-mp-object-size', { objectSizeCheck: false }],
] as const) {
  test(`a store that refuses every ${header}, correct or not, is used without it and with all other features`, async () => {
    await using fake = await FakeS3.start();
    await using bucket = new S3Bucket(fake.settings(), { timing: quickTiming });
    fake.intercept = ({ headers }, response) => {
      const isAsked = headers[header] !== undefined;
      if (isAsked) response.writeHead(501).end(errorXml('NotImplemented'));
      return isAsked;
    };
    assert.deepEqual(await bucket.capabilities(), { ...everything, ...lacks });
  });
}

test('an explicitly set checksum is required', async () => {
  const refused = (setting: string) => ({
    kind: 'refused',
    message: new RegExp(`S3_CHECKSUM=${setting} is set`),
  });
  await assert.rejects(probe({ crc32: false }, { checksum: 'crc32' }), refused('crc32'));
  await assert.rejects(probe({ sha256: false }, { checksum: 'sha256' }), refused('sha256'));
  await assert.rejects(probe({ md5: false }, { checksum: 'md5' }), refused('md5'));
});

test('an explicitly set checksum is used if the store enforces it', async () => {
  assert.equal((await probe({}, { checksum: 'sha256' })).checksumMode, 'sha256');
  assert.equal((await probe({}, { checksum: 'md5' })).checksumMode, 'md5');
  assert.equal((await probe({}, { checksum: 'none' })).checksumMode, 'none');
  const composite = await probe({ fullObjectCrc32: false }, { checksum: 'crc32' });
  assert.equal(composite.checksumMode, 'crc32');
  assert.equal(composite.fullObjectChecksum, false);
});

test('explicitly set encryption and storage class are required', async () => {
  const sse = { sse: { wanted: 'AES256', required: true } };
  await assert.rejects(probe({ sse: 'ignored' }, sse), { kind: 'refused', message: /S3_SSE=AES256 is set/ });
  await assert.rejects(probe({ sse: 'refused' }, sse), { kind: 'refused', message: /S3_SSE=AES256 is set/ });
  const cold = { storageClass: { wanted: 'GLACIER_IR', required: true } };
  const message = /S3_STORAGE_CLASS=GLACIER_IR is set/;
  await assert.rejects(probe({ storageClass: 'ignored' }, cold), { kind: 'refused', message });
  await assert.rejects(probe({ storageClass: 'refused' }, cold), { kind: 'refused', message });
});

test('STANDARD, which HEAD does not show, counts as supported', async () => {
  const standard = { storageClass: { wanted: 'STANDARD', required: true } };
  assert.equal((await probe({ storageClass: 'ignored' }, standard)).storageClass, 'STANDARD');
});

test('in a versioned bucket the versions are removed too', async () => {
  assert.deepEqual(await probe({ versioned: true }), everything);
});

test('a probe without delete permission reports that', async () => {
  await using fake = await FakeS3.start({ deletesForbidden: true });
  await using bucket = new S3Bucket(fake.settings(), { timing: quickTiming });
  const findings = await bucket.diagnose();
  const cleanup = findings.find(({ name }) => name === 's3_probe_cleanup');
  assert.equal(cleanup?.level, 'warning');
  assert.match(cleanup?.fix ?? '', /s3:DeleteObject/);
});

test('a diagnosis probes the store again: lost permissions and changed features are findings', async () => {
  await using fake = await FakeS3.start();
  await using bucket = new S3Bucket(fake.settings(), { timing: quickTiming });
  const named = async (name: string) => (await bucket.diagnose()).find((finding) => finding.name === name);
  const started = await bucket.diagnose();
  assert.deepEqual(
    started.filter(({ level }) => level === 'error'),
    [],
  );
  assert.equal(await named('s3_changed'), undefined);
  fake.intercept = ({ method, query }, response) => {
    const isCreate = method === 'POST' && query.has('uploads');
    if (isCreate) response.writeHead(403).end(errorXml('AccessDenied'));
    return isCreate;
  };
  const trial = await named('s3_trial');
  assert.equal(trial?.level, 'error');
  assert.match(trial.detail, /s3:PutObject/);
  fake.intercept = () => false;
  assert.equal(await named('s3_trial'), undefined, 'fixed without a restart');
  fake.habits.onlyIfAbsent = false;
  const changed = await named('s3_changed');
  assert.match(changed?.detail ?? '', /conditionalComplete/);
  assert.equal((await bucket.capabilities()).conditionalComplete, true, 'capabilities in use do not change');
  assert.equal(fake.uploads.size, 0);
  assert.equal(fake.objects.size, 0);
});

test('an unreachable store cannot be diagnosed', async () => {
  await using fake = await FakeS3.start();
  await using bucket = new S3Bucket(fake.settings(), { timing: quickTiming });
  await bucket.diagnose();
  fake.intercept = (_request, response) => {
    response.writeHead(503).end(errorXml('SlowDown'));
    return true;
  };
  await assert.rejects(bucket.diagnose(), { kind: 'unavailable' });
});

test('a missing bucket, wrong keys and a wrong region each stop the start and name the setting', async () => {
  const cases = [
    ['NoSuchBucket', 404, /S3_BUCKET_NAME/],
    ['InvalidAccessKeyId', 403, /AWS_ACCESS_KEY_ID/],
    ['SignatureDoesNotMatch', 403, /AWS_SECRET_ACCESS_KEY/],
    ['AccessDenied', 403, /s3:ListBucket/],
    ['PermanentRedirect', 301, /AWS_REGION/],
    ['AuthorizationHeaderMalformed', 400, /AWS_REGION/],
  ] as const;
  for (const [code, status, setting] of cases) {
    await using fake = await FakeS3.start();
    fake.intercept = ({ method }, response) => {
      response.writeHead(status).end(method === 'HEAD' ? '' : errorXml(code));
      return true;
    };
    await using bucket = new S3Bucket(fake.settings(), { timing: quickTiming });
    await assert.rejects(bucket.capabilities(), { kind: 'refused', message: setting, s3Code: code });
  }
});

test('a store that fails halfway is unavailable, and is cleaned up once it recovers', async () => {
  await using fake = await FakeS3.start();
  await using bucket = new S3Bucket(fake.settings(), { timing: quickTiming });
  fake.intercept = ({ method, query }, response) => {
    const isComplete = method === 'POST' && query.has('uploadId');
    if (isComplete) response.writeHead(503).end(errorXml('SlowDown'));
    return isComplete;
  };
  await assert.rejects(bucket.capabilities(), { kind: 'unavailable' });
  assert.equal(fake.uploads.size, 0);
  assert.equal(fake.objects.size, 0);
});

test('a server that is not an S3 store is not taken for one', async () => {
  await using fake = await FakeS3.start();
  fake.intercept = (_, response) => {
    response.writeHead(200).end('<html><body>welcome</body></html>');
    return true;
  };
  await using bucket = new S3Bucket(fake.settings(), { timing: quickTiming });
  await assert.rejects(bucket.capabilities(), { kind: 'unavailable', message: /S3_ENDPOINT/ });
});
