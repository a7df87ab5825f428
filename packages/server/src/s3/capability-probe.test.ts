import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { BucketCapabilities } from '../domain/ports/bucket.ts';
import { errorXml, type FakeHabits, FakeS3, quickTiming } from './fake-s3.ts';
import { S3Bucket } from './s3-bucket.ts';
import type { S3Settings } from './s3-settings.ts';

/** Probes a store with these habits, and looks whether anything was left behind. */
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
  serverSideEncryption: 'AES256',
  storageClass: 'INTELLIGENT_TIERING',
};

test('a store that honours everything is asked for everything', async () => {
  assert.deepEqual(await probe({}), everything);
});

test('a store that accepts everything and honours nothing is asked for nothing', async () => {
  const careless = await probe({
    crc32: false,
    sha256: false,
    md5: false,
    fullObjectCrc32: false,
    onlyIfAbsent: false,
    objectSize: false,
    sse: 'ignored',
    storageClass: 'ignored',
  });
  assert.deepEqual(careless, {
    checksumMode: 'none',
    fullObjectChecksum: false,
    conditionalComplete: false,
    objectSizeCheck: false,
    serverSideEncryption: null,
    storageClass: null,
  });
});

const single: { name: string; habits: Partial<FakeHabits>; lacks: Partial<BucketCapabilities> }[] = [
  {
    name: 'ignores CRC32',
    habits: { crc32: false },
    lacks: { checksumMode: 'md5', fullObjectChecksum: false },
  },
  {
    name: 'refuses CRC32',
    habits: { checksumsRefused: true },
    lacks: { checksumMode: 'md5', fullObjectChecksum: false },
  },
  {
    name: 'keeps no checksum of whole objects',
    habits: { fullObjectCrc32: false },
    lacks: { checksumMode: 'md5', fullObjectChecksum: false },
  },
  { name: 'ignores If-None-Match', habits: { onlyIfAbsent: false }, lacks: { conditionalComplete: false } },
  { name: 'ignores MpuObjectSize', habits: { objectSize: false }, lacks: { objectSizeCheck: false } },
  { name: 'ignores encryption', habits: { sse: 'ignored' }, lacks: { serverSideEncryption: null } },
  { name: 'refuses encryption', habits: { sse: 'refused' }, lacks: { serverSideEncryption: null } },
  { name: 'ignores the storage class', habits: { storageClass: 'ignored' }, lacks: { storageClass: null } },
  { name: 'refuses the storage class', habits: { storageClass: 'refused' }, lacks: { storageClass: null } },
];

for (const { name, habits, lacks } of single) {
  test(`a store that ${name} is not asked for it, and for all else`, async () => {
    assert.deepEqual(await probe(habits), { ...everything, ...lacks });
  });
}

for (const [header, lacks] of [
  ['if-none-match', { conditionalComplete: false }],
  ['x-amz-mp-object-size', { objectSizeCheck: false }],
] as const) {
  test(`a store that refuses every ${header}, right or wrong, is not asked for it, and for all else`, async () => {
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

test('a checksum that was set is required', async () => {
  const refused = (setting: string) => ({
    kind: 'refused',
    message: new RegExp(`S3_CHECKSUM=${setting} is set`),
  });
  await assert.rejects(probe({ crc32: false }, { checksum: 'crc32' }), refused('crc32'));
  await assert.rejects(probe({ sha256: false }, { checksum: 'sha256' }), refused('sha256'));
  await assert.rejects(probe({ md5: false }, { checksum: 'md5' }), refused('md5'));
});

test('a checksum that was set is used where it is enforced', async () => {
  assert.equal((await probe({}, { checksum: 'sha256' })).checksumMode, 'sha256');
  assert.equal((await probe({}, { checksum: 'md5' })).checksumMode, 'md5');
  assert.equal((await probe({}, { checksum: 'none' })).checksumMode, 'none');
  const composite = await probe({ fullObjectCrc32: false }, { checksum: 'crc32' });
  assert.equal(composite.checksumMode, 'crc32');
  assert.equal(composite.fullObjectChecksum, false);
});

test('encryption and storage class that were set are required', async () => {
  const sse = { sse: { wanted: 'AES256', required: true } };
  await assert.rejects(probe({ sse: 'ignored' }, sse), { kind: 'refused', message: /S3_SSE=AES256 is set/ });
  await assert.rejects(probe({ sse: 'refused' }, sse), { kind: 'refused', message: /S3_SSE=AES256 is set/ });
  const cold = { storageClass: { wanted: 'GLACIER_IR', required: true } };
  const message = /S3_STORAGE_CLASS=GLACIER_IR is set/;
  await assert.rejects(probe({ storageClass: 'ignored' }, cold), { kind: 'refused', message });
  await assert.rejects(probe({ storageClass: 'refused' }, cold), { kind: 'refused', message });
});

test('STANDARD, which HEAD does not show, counts as honoured', async () => {
  const standard = { storageClass: { wanted: 'STANDARD', required: true } };
  assert.equal((await probe({ storageClass: 'ignored' }, standard)).storageClass, 'STANDARD');
});

test('in a bucket with versions the versions go too', async () => {
  assert.deepEqual(await probe({ versioned: true }), everything);
});

test('a probe that may not delete says so', async () => {
  await using fake = await FakeS3.start({ deletesForbidden: true });
  await using bucket = new S3Bucket(fake.settings(), { timing: quickTiming });
  const findings = await bucket.diagnose();
  const cleanup = findings.find(({ name }) => name === 's3_probe_cleanup');
  assert.equal(cleanup?.level, 'warning');
  assert.match(cleanup?.fix ?? '', /s3:DeleteObject/);
});

test('a diagnosis tries the store anew: rights that were lost, and habits that changed, are findings', async () => {
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
  assert.equal(await named('s3_trial'), undefined, 'mended without a restart');
  fake.habits.onlyIfAbsent = false;
  const changed = await named('s3_changed');
  assert.match(changed?.detail ?? '', /conditionalComplete/);
  assert.equal((await bucket.capabilities()).conditionalComplete, true, 'what is relied on stays');
  assert.equal(fake.uploads.size, 0);
  assert.equal(fake.objects.size, 0);
});

test('a store that is away cannot be diagnosed', async () => {
  await using fake = await FakeS3.start();
  await using bucket = new S3Bucket(fake.settings(), { timing: quickTiming });
  await bucket.diagnose();
  fake.intercept = (_request, response) => {
    response.writeHead(503).end(errorXml('SlowDown'));
    return true;
  };
  await assert.rejects(bucket.diagnose(), { kind: 'unavailable' });
});

test('a missing bucket, wrong keys, and a wrong region stop the start, each with its setting', async () => {
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

test('a store that breaks down in the middle is unavailable, and is clean once it is back', async () => {
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

test('a page that is no S3 store is not taken for one', async () => {
  await using fake = await FakeS3.start();
  fake.intercept = (_, response) => {
    response.writeHead(200).end('<html><body>welcome</body></html>');
    return true;
  };
  await using bucket = new S3Bucket(fake.settings(), { timing: quickTiming });
  await assert.rejects(bucket.capabilities(), { kind: 'unavailable', message: /S3_ENDPOINT/ });
});
