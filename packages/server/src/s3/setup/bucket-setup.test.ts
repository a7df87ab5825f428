import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { BucketError } from '../../domain/ports/bucket.ts';
import { errorXml, FakeS3, quickTiming } from '../../../../../test/doubles/fake-s3.ts';
import { S3Bucket } from '../s3-bucket.ts';
import { setUpBucket } from './bucket-setup.ts';

async function setUp(fake: FakeS3) {
  const steps = await setUpBucket(fake.settings({ region: 'eu-central-1' }), { timing: quickTiming });
  return Object.fromEntries(steps.map(({ name, outcome }) => [name, outcome]));
}

async function stepOf(fake: FakeS3, wanted: string) {
  const steps = await setUpBucket(fake.settings(), { timing: quickTiming });
  const step = steps.find(({ name }) => name === wanted);
  assert.ok(step !== undefined, `no step ${wanted} among ${JSON.stringify(steps)}`);
  return step;
}

/** Sorted, because the SDK has its own order. */
function elementsOf(xml: string): string[] {
  return [...xml.matchAll(/<(\w+)[^>]*>([^<]*)/g)].map(([, name, text]) => `${name}=${text}`).sort();
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
    fake.requests.slice(before).filter(({ method, key }) => method === 'PUT' && key === ''),
    [],
  );
});

test('the bucket check reports every missing setting before the setup and none after it', async () => {
  await using fake = await FakeS3.start();
  const levels = async () => {
    await using bucket = new S3Bucket(fake.settings(), { timing: quickTiming });
    const findings = (await bucket.diagnose()).filter(({ name }) => name.startsWith('bucket_'));
    return Object.fromEntries(findings.map(({ name, level }) => [name, level]));
  };
  assert.deepEqual(await levels(), {
    bucket_encryption: 'info',
    bucket_versioning: 'info',
    bucket_public_access: 'info',
    bucket_lifecycle: 'info',
  });
  await setUp(fake);
  assert.deepEqual(await levels(), {
    bucket_encryption: 'ok',
    bucket_versioning: 'ok',
    bucket_public_access: 'ok',
    bucket_lifecycle: 'ok',
  });
});

test('a rule that aborts uploads before their deadline is a warning that names the setting to change', async () => {
  await using fake = await FakeS3.start();
  fake.bucketSettings.set(
    'lifecycle',
    '<LifecycleConfiguration><Rule><ID>short</ID><Status>Enabled</Status><Filter><Prefix></Prefix></Filter><AbortIncompleteMultipartUpload><DaysAfterInitiation>1</DaysAfterInitiation></AbortIncompleteMultipartUpload></Rule></LifecycleConfiguration>',
  );
  await using bucket = new S3Bucket(fake.settings(), { timing: quickTiming });
  const finding = (await bucket.diagnose()).find(({ name }) => name === 'bucket_lifecycle');
  assert.equal(finding?.level, 'warning');
  assert.match(finding?.fix ?? '', /AbortIncompleteMultipartUpload/);
});

test('bucket settings are sent with Content-MD5, which older stores require', async () => {
  await using fake = await FakeS3.start();
  await setUp(fake);
  const settings = fake.requests.filter(({ method, query }) => method === 'PUT' && query.has('lifecycle'));
  assert.equal(settings.length, 1);
  assert.ok(settings[0]?.headers['content-md5']);
  assert.equal(settings[0]?.headers['x-amz-checksum-crc32'], undefined);
});

test('existing lifecycle rules are preserved', async () => {
  await using fake = await FakeS3.start();
  fake.bucketSettings.set(
    'lifecycle',
    '<LifecycleConfiguration><Rule><ID>logs</ID><Filter><Prefix>logs/</Prefix></Filter><Status>Enabled</Status><Expiration><Days>30</Days></Expiration></Rule></LifecycleConfiguration>',
  );
  assert.equal((await setUp(fake))['lifecycle'], 'done');
  const stored = fake.bucketSettings.get('lifecycle') ?? '';
  assert.match(stored, /<ID>logs<\/ID>/);
  assert.match(stored, /<Prefix>uploads\/<\/Prefix>/);
  assert.match(stored, /<DaysAfterInitiation>7</);
});

test('a store that drops other rules is reported', async () => {
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
  const { outcome, detail } = await stepOf(fake, 'lifecycle');
  assert.equal(outcome, 'failed');
  assert.match(detail, /dropped these lifecycle rules: logs/);
  assert.match(detail, /undo it by hand: aws .*put-bucket-lifecycle-configuration .*"ID":"logs"/);
});

test('a setting that the store accepts but does not keep is not reported as done', async () => {
  await using fake = await FakeS3.start({ forgets: ['lifecycle'] });
  assert.deepEqual(await setUp(fake), { ...all('done'), bucket: 'already', lifecycle: 'not_supported' });
});

test('an unsupported setting does not stop the rest of the setup', async () => {
  await using fake = await FakeS3.start({ lacks: ['encryption', 'publicAccessBlock'] });
  assert.deepEqual(await setUp(fake), {
    ...all('done'),
    bucket: 'already',
    encryption: 'not_supported',
    public_access_block: 'not_supported',
  });
});

test('a public access block that breaks uploads is undone', async () => {
  await using fake = await FakeS3.start({ publicAccessBlockBreaksWrites: true });
  assert.equal((await setUp(fake))['public_access_block'], 'not_supported');
  assert.doesNotMatch(fake.bucketSettings.get('publicAccessBlock') ?? '', /<BlockPublicAcls>true/);
  assert.equal(fake.uploads.size, 0);
});

test('encryption that makes every write fail is undone and reported, on every run', async () => {
  await using fake = await FakeS3.start({ failsWritesUnder: ['encryption'] });
  const first = await setUpBucket(fake.settings(), { timing: quickTiming });
  const outcomes = Object.fromEntries(first.map(({ name, outcome }) => [name, outcome]));
  assert.deepEqual(outcomes, { ...all('done'), bucket: 'already', encryption: 'not_supported' });
  const { detail } = first.find(({ name }) => name === 'encryption') ?? {};
  assert.match(
    detail ?? '',
    /With default encryption on the store fails writes .*InternalError.* was undone/,
  );
  assert.equal(fake.bucketSettings.has('encryption'), false);
  assert.deepEqual([fake.objects.size, fake.uploads.size], [0, 0]);
  const puts = () =>
    fake.requests.filter(({ method, query }) => method === 'PUT' && query.has('encryption')).length;
  assert.equal(puts(), 1, 'the fault fired');
  assert.equal((await stepOf(fake, 'encryption')).detail, detail);
  assert.equal(puts(), 2);
  assert.equal(fake.bucketSettings.has('encryption'), false);
});

for (const [setting, step, before] of [
  ['versioning', 'versioning', undefined],
  [
    'publicAccessBlock',
    'public_access_block',
    '<PublicAccessBlockConfiguration><BlockPublicPolicy>true</BlockPublicPolicy></PublicAccessBlockConfiguration>',
  ],
  ['publicAccessBlock', 'public_access_block', undefined],
  [
    'lifecycle',
    'lifecycle',
    '<LifecycleConfiguration><Rule><ID>logs</ID><Filter><Prefix>logs/</Prefix></Filter><Status>Enabled</Status><Expiration><Days>30</Days></Expiration></Rule></LifecycleConfiguration>',
  ],
  ['lifecycle', 'lifecycle', undefined],
] as const) {
  test(`${step} that breaks writes is reset to ${before === undefined ? 'no setting' : 'its previous setting'}`, async () => {
    await using fake = await FakeS3.start();
    if (before !== undefined) fake.bucketSettings.set(setting, before);
    let failed = 0;
    let isMade = false;
    fake.intercept = ({ method, key, query }, response) => {
      // The first PUT makes the change, the second or a DELETE reverts it.
      if (query.has(setting) && method !== 'GET') isMade = !isMade;
      if (!isMade || key === '' || method !== 'PUT') return false;
      failed += 1;
      response.writeHead(403).end(errorXml('AccessDenied'));
      return true;
    };
    const { outcome, detail } = await stepOf(fake, step);
    assert.equal(outcome, 'not_supported');
    assert.match(detail, /fails writes .*AccessDenied.* was undone/);
    assert.ok(failed > 0);
    const now = fake.bucketSettings.get(setting);
    if (setting === 'versioning') assert.match(now ?? '', /Suspended/);
    else if (before === undefined) assert.equal(now, undefined);
    else assert.deepEqual(elementsOf(now ?? ''), elementsOf(before));
  });
}

test('a change that took effect despite an error response is still tested and undone', async () => {
  await using fake = await FakeS3.start({ failsWritesUnder: ['encryption'] });
  let faults = 0;
  fake.intercept = ({ method, query, body }, response) => {
    if (method !== 'PUT' || !query.has('encryption')) return false;
    fake.bucketSettings.set('encryption', body.toString());
    faults += 1;
    response.writeHead(500).end(errorXml('InternalError'));
    return true;
  };
  assert.match((await stepOf(fake, 'encryption')).detail, /was undone/);
  assert.ok(faults > 0);
  assert.equal(fake.bucketSettings.has('encryption'), false);
});

test('a failed undo reports the manual command, and a later run repeats it', async () => {
  await using fake = await FakeS3.start({ failsWritesUnder: ['encryption'] });
  fake.intercept = ({ method, query }, response) => {
    const isUndo = method === 'DELETE' && query.has('encryption');
    if (isUndo) response.writeHead(403).end(errorXml('AccessDenied'));
    return isUndo;
  };
  const byHand = `aws --endpoint-url ${fake.url} s3api delete-bucket-encryption --bucket bucket`;
  const { outcome, detail } = await stepOf(fake, 'encryption');
  assert.equal(outcome, 'failed');
  assert.match(detail, /could not be undone \(.*AccessDenied/);
  assert.ok(detail.endsWith(byHand), detail);
  const again = await stepOf(fake, 'encryption');
  assert.equal(again.outcome, 'already');
  assert.ok(again.detail.endsWith(byHand), again.detail);
});

test('a bucket that never accepted writes is not blamed on a step', async () => {
  await using fake = await FakeS3.start();
  let refused = 0;
  fake.intercept = ({ method, key }, response) => {
    const isWrite = method === 'PUT' && key !== '';
    if (isWrite) refused += 1;
    if (isWrite) response.writeHead(403).end(errorXml('AccessDenied'));
    return isWrite;
  };
  assert.deepEqual(await setUp(fake), { ...all('done'), bucket: 'already', trial_write: 'failed' });
  assert.ok(refused > 0);
  assert.match((await stepOf(fake, 'trial_write')).detail, /before any change.*s3:PutObject/);
});

test('a 501 with any code means unsupported, and one failing call does not mean the store is down', async () => {
  await using fake = await FakeS3.start();
  const asked = new Set<string>();
  fake.intercept = ({ method, query }, response) => {
    if (query.has('versioning')) response.writeHead(501).end(errorXml('VersioningNotConfigured'));
    else if (method === 'PUT' && query.has('publicAccessBlock'))
      response.writeHead(500).end(errorXml('InternalError'));
    else return false;
    asked.add([...query.keys()].join());
    return true;
  };
  const steps = await setUpBucket(fake.settings(), { timing: quickTiming });
  assert.deepEqual(Object.fromEntries(steps.map(({ name, outcome }) => [name, outcome])), {
    ...all('done'),
    bucket: 'already',
    versioning: 'not_supported',
    public_access_block: 'not_supported',
  });
  const detailOf = (wanted: string) => steps.find(({ name }) => name === wanted)?.detail ?? '';
  assert.match(detailOf('versioning'), /does not support this \(VersioningNotConfigured\)/);
  assert.match(detailOf('public_access_block'), /serves other calls.*InternalError: said so/);
  assert.equal(asked.size, 2);
});

for (const [status, code, says] of [
  [403, 'SignatureDoesNotMatch', /AWS_SECRET_ACCESS_KEY/],
  [403, 'InvalidAccessKeyId', /AWS_ACCESS_KEY_ID/],
  [403, 'AccessDenied', /s3:ListBucket/],
  [403, 'RequestTimeTooSkewed', /clock/],
  [400, 'AuthorizationHeaderMalformed', /AWS_REGION/],
  [301, 'PermanentRedirect', /AWS_REGION/],
  [400, 'InvalidRequest', /./],
  [404, 'NoSuchKey', /S3_ENDPOINT/],
] as const) {
  test(`${code} stops the setup immediately with the message of a normal start`, async () => {
    await using fake = await FakeS3.start();
    fake.intercept = ({ method }, response) => {
      response.writeHead(status).end(method === 'HEAD' ? '' : errorXml(code));
      return true;
    };
    const steps = await setUpBucket(fake.settings(), { timing: quickTiming });
    assert.deepEqual(
      steps.map(({ name, outcome }) => [name, outcome]),
      [['bucket', 'failed']],
    );
    await using bucket = new S3Bucket(fake.settings(), { timing: quickTiming });
    const plain = await bucket.capabilities().then(
      () => assert.fail('a plain start succeeds'),
      (error: unknown) => error as BucketError,
    );
    assert.match(plain.message, says);
    assert.deepEqual([steps[0]?.detail, steps[0]?.fatal?.kind], [plain.message, plain.kind]);
  });
}

test('credentials revoked halfway stop the setup at that step', async () => {
  await using fake = await FakeS3.start();
  let isRevoked = false;
  fake.intercept = ({ method, query }, response) => {
    isRevoked ||= query.has('versioning');
    if (isRevoked) response.writeHead(403).end(method === 'HEAD' ? '' : errorXml('InvalidAccessKeyId'));
    return isRevoked;
  };
  const steps = await setUpBucket(fake.settings(), { timing: quickTiming });
  assert.deepEqual(
    steps.map(({ name, outcome }) => [name, outcome]),
    [
      ['bucket', 'already'],
      ['encryption', 'done'],
      ['versioning', 'failed'],
    ],
  );
  assert.match(steps.at(-1)?.detail ?? '', /check AWS_ACCESS_KEY_ID/);
});

test('a missing permission fails only its step and is named', async () => {
  await using fake = await FakeS3.start();
  fake.intercept = ({ method, query }, response) => {
    const isForbidden = method === 'PUT' && query.has('encryption');
    if (isForbidden) response.writeHead(403).end(errorXml('AccessDenied'));
    return isForbidden;
  };
  assert.match((await stepOf(fake, 'encryption')).detail, /^Allow .*s3:PutEncryptionConfiguration/);
  assert.deepEqual(await setUp(fake), { ...all('already'), encryption: 'failed' });
});

test('the manual undo command is reported before each change, and a signal stops the setup between two changes', async () => {
  await using fake = await FakeS3.start();
  const stopping = new AbortController();
  const changes: { step: string; undoByHand: string; putsBefore: number }[] = [];
  const puts = () => fake.requests.filter(({ method, key }) => method === 'PUT' && key === '').length;
  const steps = await setUpBucket(fake.settings(), {
    timing: quickTiming,
    signal: stopping.signal,
    onChange: (change) => {
      changes.push({ ...change, putsBefore: puts() });
      if (change.step === 'versioning') stopping.abort();
    },
  });
  assert.deepEqual(
    changes.map(({ step, putsBefore }) => [step, putsBefore]),
    [
      ['encryption', 0],
      ['versioning', 1],
    ],
  );
  assert.match(changes[1]?.undoByHand ?? '', /put-bucket-versioning --bucket bucket .*Status=Suspended/);
  assert.deepEqual(
    steps.map(({ name, outcome }) => [name, outcome]),
    [
      ['bucket', 'already'],
      ['encryption', 'done'],
      ['versioning', 'done'],
    ],
  );
});

test('trial objects are removed by version; objects that could not be removed are reported', async () => {
  await using fake = await FakeS3.start({ versioned: true });
  await setUp(fake);
  assert.deepEqual([fake.objects.size, fake.uploads.size], [0, 0]);
  const deletes = fake.requests.filter(({ method, key }) => method === 'DELETE' && key !== '');
  const ofObjects = deletes.filter(({ query }) => !query.has('uploadId'));
  assert.ok(ofObjects.length > 0);
  assert.ok(ofObjects.every(({ query }) => query.has('versionId')));

  await using keeping = await FakeS3.start({ deletesForbidden: true });
  const { outcome, detail } = await stepOf(keeping, 'trial_write');
  assert.equal(outcome, 'failed');
  assert.match(detail, /uploads\/\.backhaul-probe\/.*AccessDenied/);
});

test('a request that fails or hangs does not affect the other bucket checks', async () => {
  await using fake = await FakeS3.start();
  const timing = { ...quickTiming, calls: { ...quickTiming.calls, attemptTimeoutMs: 300 } };
  await using bucket = new S3Bucket(fake.settings(), { timing });
  await bucket.capabilities();
  fake.intercept = ({ method, query }, response) => {
    if (method !== 'GET') return false;
    if (query.has('encryption')) response.writeHead(500).end(errorXml('InternalError'));
    if (query.has('versioning')) response.writeHead(501).end(errorXml('VersioningNotConfigured'));
    return query.has('encryption') || query.has('versioning') || query.has('lifecycle');
  };
  const findings = (await bucket.diagnose()).filter(({ name }) => name.startsWith('bucket_'));
  const reported = Object.fromEntries(
    findings.map(({ name, level, detail, fix }) => [name, { level, detail, fix }]),
  );
  assert.match(
    reported['bucket_encryption']?.detail ?? '',
    /if that happens every time, it does not support this/,
  );
  assert.equal(reported['bucket_versioning']?.detail, 'The store does not support this.');
  assert.match(reported['bucket_lifecycle']?.detail ?? '', /^Cannot be read now: .*no response/);
  assert.match(reported['bucket_public_access']?.detail ?? '', /not fully blocked/);
  for (const name of ['bucket_encryption', 'bucket_versioning', 'bucket_lifecycle']) {
    assert.deepEqual([reported[name]?.level, reported[name]?.fix], ['info', null], name);
  }
});

test('doctor does not recommend default encryption for a store that does not encrypt on request', async () => {
  await using fake = await FakeS3.start({ sse: 'ignored' });
  await using bucket = new S3Bucket(fake.settings(), { timing: quickTiming });
  const finding = (await bucket.diagnose()).find(({ name }) => name === 'bucket_encryption');
  assert.deepEqual([finding?.level, finding?.fix], ['info', null]);
  assert.match(finding?.detail ?? '', /does not encrypt on request/);
});

test('a bucket of another account stops the setup', async () => {
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
