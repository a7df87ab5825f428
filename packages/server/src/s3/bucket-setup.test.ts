import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setUpBucket } from './bucket-setup.ts';
import { errorXml, FakeS3, quickTiming } from './fake-s3.ts';
import { S3Bucket } from './s3-bucket.ts';

async function setUp(fake: FakeS3) {
  const steps = await setUpBucket(fake.settings({ region: 'eu-central-1' }), { timing: quickTiming });
  return Object.fromEntries(steps.map(({ name, outcome }) => [name, outcome]));
}

const all = (outcome: string) => ({
  bucket: outcome,
  encryption: outcome,
  versioning: outcome,
  public_access_block: outcome,
  lifecycle: outcome,
});

test('a missing bucket is created in its region and set up; a second run changes nothing', async () => {
  await using fake = await FakeS3.start();
  fake.bucketExists = false;
  assert.deepEqual(await setUp(fake), all('done'));
  const created = fake.requests.find(({ method, query }) => method === 'PUT' && query.size === 0);
  assert.match(created?.body.toString() ?? '', /<LocationConstraint>eu-central-1</);
  const before = fake.requests.length;
  assert.deepEqual(await setUp(fake), all('already'));
  assert.deepEqual(
    fake.requests.slice(before).filter(({ method }) => method === 'PUT'),
    [],
  );
});

test('after the set-up the bucket check finds nothing wrong, before it each thing', async () => {
  await using fake = await FakeS3.start();
  const levels = async () => {
    await using bucket = new S3Bucket(fake.settings(), { timing: quickTiming });
    const findings = (await bucket.diagnose()).filter(({ name }) => name.startsWith('bucket_'));
    return Object.fromEntries(findings.map(({ name, level }) => [name, level]));
  };
  assert.deepEqual(await levels(), {
    bucket_encryption: 'warning',
    bucket_versioning: 'info',
    bucket_public_access: 'warning',
    bucket_lifecycle: 'warning',
  });
  await setUp(fake);
  assert.deepEqual(await levels(), {
    bucket_encryption: 'ok',
    bucket_versioning: 'ok',
    bucket_public_access: 'ok',
    bucket_lifecycle: 'ok',
  });
});

test('bucket settings go out with Content-MD5, which older stores want', async () => {
  await using fake = await FakeS3.start();
  await setUp(fake);
  const settings = fake.requests.filter(({ method, query }) => method === 'PUT' && query.has('lifecycle'));
  assert.equal(settings.length, 1);
  assert.ok(settings[0]?.headers['content-md5']);
  assert.equal(settings[0]?.headers['x-amz-checksum-crc32'], undefined);
});

test('lifecycle rules that are there stay', async () => {
  await using fake = await FakeS3.start();
  fake.bucketSettings.set(
    'lifecycle',
    '<LifecycleConfiguration><Rule><ID>logs</ID><Filter><Prefix>logs/</Prefix></Filter><Status>Enabled</Status><Expiration><Days>30</Days></Expiration></Rule></LifecycleConfiguration>',
  );
  assert.equal((await setUp(fake))['lifecycle'], 'done');
  const kept = fake.bucketSettings.get('lifecycle') ?? '';
  assert.match(kept, /<ID>logs<\/ID>/);
  assert.match(kept, /<Prefix>uploads\/<\/Prefix>/);
  assert.match(kept, /<DaysAfterInitiation>7</);
});

test('a store that drops other rules is told on', async () => {
  await using fake = await FakeS3.start();
  fake.bucketSettings.set(
    'lifecycle',
    '<LifecycleConfiguration><Rule><ID>logs</ID><Prefix>logs/</Prefix><Status>Enabled</Status><Expiration><Days>30</Days></Expiration></Rule></LifecycleConfiguration>',
  );
  fake.intercept = ({ method, query, body }) => {
    if (method === 'PUT' && query.has('lifecycle')) {
      const text = body.toString();
      assert.doesNotMatch(text, /<Filter>/, 'both spellings of the prefix in one configuration');
      queueMicrotask(() =>
        fake.bucketSettings.set('lifecycle', text.replace(/<Rule>.*?logs.*?<\/Rule>/, '')),
      );
    }
    return false;
  };
  const steps = await setUpBucket(fake.settings(), { timing: quickTiming });
  const lifecycle = steps.find(({ name }) => name === 'lifecycle');
  assert.equal(lifecycle?.outcome, 'failed');
  assert.match(lifecycle?.detail ?? '', /logs/);
});

test('what a store accepts and forgets is not reported as done', async () => {
  await using fake = await FakeS3.start({ forgets: ['lifecycle'] });
  assert.deepEqual(await setUp(fake), { ...all('done'), bucket: 'already', lifecycle: 'not_supported' });
});

test('what a store lacks does not keep the rest from being set up', async () => {
  await using fake = await FakeS3.start({ lacks: ['encryption', 'publicAccessBlock'] });
  assert.deepEqual(await setUp(fake), {
    ...all('done'),
    bucket: 'already',
    encryption: 'not_supported',
    public_access_block: 'not_supported',
  });
});

test('a public access block under which nothing can be uploaded is taken back', async () => {
  await using fake = await FakeS3.start({ publicAccessBlockBreaksWrites: true });
  assert.equal((await setUp(fake))['public_access_block'], 'not_supported');
  assert.doesNotMatch(fake.bucketSettings.get('publicAccessBlock') ?? '', /<BlockPublicAcls>true/);
  assert.equal(fake.uploads.size, 0);
});

test("a bucket that is somebody else's stops the set-up", async () => {
  await using fake = await FakeS3.start();
  fake.bucketExists = false;
  fake.intercept = ({ method }, response) => {
    if (method === 'PUT') response.writeHead(409).end(errorXml('BucketAlreadyExists'));
    return method === 'PUT';
  };
  const steps = await setUpBucket(fake.settings(), { timing: quickTiming });
  assert.deepEqual(
    steps.map(({ name, outcome }) => [name, outcome]),
    [['bucket', 'failed']],
  );
  assert.match(steps[0]?.detail ?? '', /S3_BUCKET_NAME/);
});
