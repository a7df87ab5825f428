import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BackhaulError } from '@backhaul/protocol';
import fc from 'fast-check';
import { v7 as uuidv7 } from 'uuid';
import { openSqliteStore } from '../../store/open-sqlite-store.ts';
import { completed, failed } from '../agents/handlers/endings.ts';
import { prepared } from '../agents/handlers/prepared.ts';
import { DomainFixture, type FixtureOptions } from '../../../../../test/harness/server/domain-fixture.ts';
import { completedMessage, failedMessage, preparedMessage } from '../../../../../test/doubles/fake-agent.ts';
import { intercepted } from '../../../../../test/doubles/intercepted.ts';
import { sampleAudit, sampleUpload } from '../../../../../test/harness/server/sample-upload.ts';
import type { AuditEvent, Store } from '../ports/store.ts';
import { endSession } from '../agents/handlers/hello.ts';
import { keySegment, type TriggerRequest, uploadKey } from './create.ts';

/** Ordinary and malicious names. */
const anyName = fc.oneof(
  fc.string({ unit: 'grapheme', maxLength: 300 }),
  fc.string({ unit: 'binary', maxLength: 300 }),
  fc.string({ unit: fc.constantFrom('.', '/', '\\', '%', '2', 'e', 'x', '\0', ' '), maxLength: 300 }),
  fc
    .tuple(fc.string({ maxLength: 3 }), fc.integer({ min: 0, max: 300 }))
    .map(([head, dots]) => head + '.'.repeat(dots)),
);

test('a key has only safe characters, no dot segments and at most 1,024 bytes', (t) => {
  const seed = Date.now() % 2 ** 31;
  t.diagnostic(`seed ${seed}`);
  fc.assert(
    fc.property(
      anyName,
      fc.constantFrom('', 'uploads', 'sites/emea', 'p'.repeat(512)),
      (fileName, prefix) => {
        const clientId = 'c'.repeat(64);
        const uploadId = uuidv7();
        const key = uploadKey({ prefix, clientId, uploadId, fileName });
        assert.match(key, /^[A-Za-z0-9._/-]+$/);
        assert.ok(Buffer.byteLength(key) <= 1024);
        const segments = key.split('/');
        for (const segment of segments)
          assert.doesNotMatch(segment, /^\.*$/, 'a segment of only dots, or an empty one');
        assert.deepEqual(segments.slice(-3, -1), [clientId, uploadId]);
        // The WHATWG URL parser must not change it after signing.
        assert.equal(new URL(`https://store.test/bucket/${key}`).pathname, `/bucket/${key}`);
      },
    ),
    { seed, numRuns: 3000 },
  );
});

test('a safe name is unchanged; unsafe characters of others are replaced', () => {
  for (const [name, safe] of [
    ['report-2025_11.tar.gz', 'report-2025_11.tar.gz'],
    ['Übersicht März.pdf', 'U_bersicht_Ma_rz.pdf'],
    ['..', '_'],
    ['.bashrc', '_bashrc'],
    ['日本語.csv', '_.csv'],
    ['a/../../b', 'a_.._.._b'],
    ['', 'file'],
    ['a%2e%2e', 'a_2e_2e'],
  ]) {
    assert.equal(keySegment(name ?? ''), safe);
  }
});

test('a long name keeps its extension', () => {
  const safe = keySegment(`${'x'.repeat(500)}.parquet`);
  assert.equal(safe.length, 128);
  assert.ok(safe.endsWith('x.parquet'));
});

const HOUR_MS = 3_600_000;
const request = { clientId: 'client-1', filePath: '/data/report.bin', requestedBy: 'operator-1' };

async function openFixture(options: FixtureOptions = {}): Promise<DomainFixture> {
  return new DomainFixture(await openSqliteStore(':memory:'), options);
}

async function countUploads(fixture: DomainFixture): Promise<number> {
  return (await fixture.store.listUploads({ limit: 500 })).length;
}

test('a trigger is durable when it returns, with a key made by the server', async () => {
  await using fixture = await openFixture();
  await fixture.connect('client-1', { maxUploads: 1, platform: { os: 'win32', arch: 'x64' } });
  const upload = await fixture.domain.uploads.trigger({
    clientId: 'client-1',
    filePath: 'C:\\Data\\März 2025.csv',
    reason: 'month end',
    requestedBy: 'operator-1',
  });
  const stored = await fixture.upload(upload.uploadId);
  assert.equal(stored.filePath, 'C:\\Data\\März 2025.csv');
  assert.equal(stored.fileName, 'März 2025.csv');
  assert.equal(stored.key, `uploads/client-1/${upload.uploadId}/Ma_rz_2025.csv`);
  assert.equal(stored.reason, 'month end');
  assert.equal(stored.expiresAt, fixture.clock.now() + 24 * HOUR_MS);
  assert.equal(upload.status, 'queued');
});

test('a trigger without a path uses the agent’s default', async () => {
  await using fixture = await openFixture();
  await fixture.connect('client-1', { default_file_path: '/data/default.bin' });
  const upload = await fixture.domain.uploads.trigger({ clientId: 'client-1', requestedBy: 'operator-1' });
  assert.equal(upload.filePath, '/data/default.bin');
});

test('a trigger without a path for an agent without a default is an invalid_request that names the field', async () => {
  await using fixture = await openFixture();
  await fixture.connect();
  await assert.rejects(fixture.domain.uploads.trigger({ clientId: 'client-1', requestedBy: 'operator-1' }), {
    code: 'invalid_request',
    message: /file_path/,
  });
});

test('a trigger for a client that never connected is client_not_found, and leaves no row', async () => {
  await using fixture = await openFixture();
  await assert.rejects(fixture.trigger(), { code: 'client_not_found' });
  assert.deepEqual(await fixture.store.listUploads({ limit: 10 }), []);
});

test('the same idempotency key returns the same upload to its subject, and a conflict for a different request', async () => {
  await using fixture = await openFixture();
  await fixture.connect();
  const keyed = { ...request, idempotencyKey: 'key-1' };
  const { uploads } = fixture.domain;
  const [first, ...again] = await Promise.all([1, 2, 3].map(() => uploads.trigger(keyed)));
  for (const upload of again) assert.equal(upload.uploadId, first?.uploadId);
  assert.equal((await fixture.store.listUploads({ limit: 10 })).length, 1);

  await fixture.connect('client-2');
  const others: Partial<TriggerRequest>[] = [
    { filePath: '/b' },
    { reason: 'r' },
    { clientId: 'client-2' },
    { onChange: 'restart' },
    { expiresInMs: 60_000 },
    { offline: 'fail' },
    { force: true },
  ];
  for (const other of others) {
    await assert.rejects(uploads.trigger({ ...keyed, ...other }), { code: 'idempotency_conflict' });
  }
  const stranger = await uploads.trigger({ ...keyed, requestedBy: 'operator-2', force: true });
  assert.notEqual(stranger.uploadId, first?.uploadId);
});

test('a repeated keyed request returns the same upload, even after its client’s default changed or the client was removed', async () => {
  await using fixture = await openFixture();
  await fixture.connect();
  const keyed = { clientId: 'client-1', requestedBy: 'operator-1', idempotencyKey: 'key-1' };
  const { uploads } = fixture.domain;
  const first = await uploads.trigger({ ...keyed, filePath: '/a' });
  const audit = { at: 1, actor: 'operator-1', action: 'client.forget', clientId: 'client-1', uploadId: null };
  await fixture.store.deleteClient('client-1', { ...audit, detail: {} });
  assert.equal((await uploads.trigger({ ...keyed, filePath: '/a' })).uploadId, first.uploadId);
  assert.equal((await uploads.trigger(keyed)).uploadId, first.uploadId);
});

test('a repeated request without a key joins the upload until it has ended', async () => {
  await using fixture = await openFixture();
  const { agent, upload } = await fixture.uploading();
  const { uploads } = fixture.domain;
  const again = await uploads.trigger(request);
  assert.equal(again.uploadId, upload.uploadId);
  assert.equal(again.status, 'uploading');
  await failed(fixture.context, agent.session, failedMessage(upload, 'permission_denied'));
  const next = await uploads.trigger(request);
  assert.notEqual(next.uploadId, upload.uploadId);
  assert.equal(await countUploads(fixture), 2);
});

test('of concurrent requests for one file, one creates the upload and the others join it', async () => {
  await using fixture = await openFixture();
  await fixture.connect();
  const all = await Promise.all(
    Array.from({ length: 20 }, (_, index) =>
      fixture.domain.uploads.trigger({ ...request, requestedBy: `operator-${index}` }),
    ),
  );
  assert.equal(new Set(all.map(({ uploadId }) => uploadId)).size, 1);
  assert.equal(await countUploads(fixture), 1);
});

test('another path, client or change policy creates another upload, and so does force', async () => {
  await using fixture = await openFixture();
  await fixture.connect();
  await fixture.connect('client-2');
  const { uploads } = fixture.domain;
  const first = await uploads.trigger(request);
  const others: Partial<TriggerRequest>[] = [
    { filePath: '/data/other.bin' },
    { clientId: 'client-2' },
    { onChange: 'prefix' },
    { force: true },
  ];
  for (const other of others) {
    const { uploadId } = await uploads.trigger({ ...request, ...other });
    assert.notEqual(uploadId, first.uploadId, JSON.stringify(other));
  }
  assert.equal(await countUploads(fixture), 5);
});

test('a request joins the newest of several uploads', async () => {
  await using fixture = await openFixture();
  await fixture.connect('client-1', { maxUploads: 1 });
  const { uploads } = fixture.domain;
  await uploads.trigger(request);
  fixture.clock.advance(1);
  const newest = await uploads.trigger({ ...request, force: true });
  assert.equal((await uploads.trigger(request)).uploadId, newest.uploadId);
});

test('joining can only extend the deadline, and publishes the change', async () => {
  await using fixture = await openFixture();
  const agent = await fixture.connect();
  await endSession(fixture.context, agent.session);
  const { uploads } = fixture.domain;
  const first = await uploads.trigger({ ...request, expiresInMs: HOUR_MS });
  assert.equal(first.expiresAt, fixture.clock.now() + HOUR_MS);
  const shorter = await uploads.trigger({ ...request, expiresInMs: HOUR_MS / 2 });
  assert.equal(shorter.expiresAt, first.expiresAt);
  assert.equal(shorter.version, first.version);

  const hints: number[] = [];
  using unsubscribing = new DisposableStack();
  unsubscribing.defer(fixture.bus.subscribe(({ version }) => hints.push(version)));
  const longer = await uploads.trigger({ ...request, expiresInMs: 2 * HOUR_MS });
  assert.equal(longer.uploadId, first.uploadId);
  assert.equal(longer.expiresAt, fixture.clock.now() + 2 * HOUR_MS);
  assert.equal(longer.version, first.version + 1);
  assert.deepEqual(await fixture.upload(first.uploadId), longer);
  assert.deepEqual(hints, [longer.version]);

  fixture.clock.advance(HOUR_MS);
  await fixture.sweep();
  assert.equal(
    (await fixture.upload(first.uploadId)).status,
    'queued',
    'the first deadline no longer counts',
  );
});

test('a request that joins while a message is handled disturbs neither', async () => {
  await using fixture = await openFixture();
  const { agent, upload } = await fixture.preparing();
  const release = fixture.bucket.hold('createMultipartUpload');
  const preparing = prepared(fixture.context, agent.session, preparedMessage(upload));
  await fixture.until(() => fixture.bucket.count('createMultipartUpload') === 1, 'the create');
  const joined = await fixture.domain.uploads.trigger({ ...request, expiresInMs: 48 * HOUR_MS });
  assert.equal(joined.uploadId, upload.uploadId);
  assert.equal(joined.version, upload.version + 1, 'the row has changed');
  release();
  await preparing;
  const uploading = await fixture.upload(upload.uploadId);
  assert.equal(uploading.status, 'uploading');
  assert.equal(uploading.expiresAt, joined.expiresAt);
  assert.deepEqual(fixture.bucket.aborted, []);
});

test('a request that joins while the upload completes does not delay it', async () => {
  await using fixture = await openFixture();
  const { agent, upload } = await fixture.uploading();
  const release = fixture.bucket.hold('completeMultipartUpload');
  await completed(fixture.context, agent.session, completedMessage(upload));
  await fixture.until(() => fixture.bucket.count('completeMultipartUpload') === 1, 'the completion');
  fixture.clock.advance(1);
  const joined = await fixture.domain.uploads.trigger(request);
  assert.equal(joined.status, 'completing');
  release();
  const record = await fixture.reaches(upload.uploadId, 'completed');
  assert.equal(record.expiresAt, joined.expiresAt);
  assert.equal(fixture.log.entries.filter(({ level }) => level === 'error').length, 0);
});

test('a dispatch that collides with a joining request is retried immediately', async () => {
  const real = await openSqliteStore(':memory:');
  const race = { join: undefined as (() => Promise<unknown>) | undefined, met: 0 };
  const store = intercepted<Store>(real, {
    listParts: async (uploadId) => {
      const parts = await real.listParts(uploadId);
      const { join } = race;
      race.join = undefined;
      if (join !== undefined) race.met += 1;
      await join?.();
      return parts;
    },
  });
  await using fixture = new DomainFixture(store);
  const { agent, upload } = await fixture.uploading();
  await endSession(fixture.context, agent.session);
  // S3 is asked for its parts before the next attempt, and the row has changed by then.
  race.join = () => fixture.domain.uploads.trigger({ ...request, expiresInMs: 48 * HOUR_MS });
  await fixture.connect();
  const record = await fixture.reaches(upload.uploadId, 'preparing');
  assert.equal(race.met, 1);
  assert.equal(record.expiresAt, fixture.clock.now() + 48 * HOUR_MS);
});

test('the key of a joined request still returns that upload after it has ended', async () => {
  await using fixture = await openFixture();
  const { agent, upload } = await fixture.uploading();
  const { uploads } = fixture.domain;
  const keyed = { ...request, requestedBy: 'operator-2', reason: 'audit', idempotencyKey: 'key-1' };
  assert.equal((await uploads.trigger(keyed)).uploadId, upload.uploadId);
  await failed(fixture.context, agent.session, failedMessage(upload, 'permission_denied'));
  const late = await uploads.trigger(keyed);
  assert.equal(late.uploadId, upload.uploadId);
  assert.equal(late.status, 'failed');
  assert.equal(late.reason, null, 'the record is that of the request that created it');
  await assert.rejects(uploads.trigger({ ...keyed, reason: 'another' }), { code: 'idempotency_conflict' });
  assert.equal(await countUploads(fixture), 1);

  await uploads.remove(upload.uploadId, 'operator-1', { withObject: false });
  assert.notEqual(
    (await uploads.trigger(keyed)).uploadId,
    upload.uploadId,
    'the key is removed with the upload',
  );
});

test('of concurrent requests with one key, those that differ conflict even if they could join', async () => {
  await using fixture = await openFixture();
  await fixture.connect();
  const keyed = { ...request, idempotencyKey: 'key-1' };
  const outcomes = await Promise.allSettled(
    ['a', 'b'].map((reason) => fixture.domain.uploads.trigger({ ...keyed, reason })),
  );
  const refusals = outcomes.flatMap((outcome) =>
    outcome.status === 'rejected' ? [outcome.reason as unknown] : [],
  );
  assert.equal(refusals.length, 1);
  assert.ok(refusals[0] instanceof BackhaulError);
  assert.equal(refusals[0].code, 'idempotency_conflict');
});

test('a key stored before options existed matches the request without options', async () => {
  await using fixture = await openFixture();
  await fixture.connect();
  const upload = sampleUpload({ idempotencyKey: 'key-1', reason: 'audit' });
  await fixture.store.insertUpload(upload, sampleAudit());
  const keyed = { ...request, reason: 'audit', idempotencyKey: 'key-1' };
  assert.equal((await fixture.domain.uploads.trigger(keyed)).uploadId, upload.uploadId);
  for (const other of [{ reason: 'x' }, { onChange: 'restart' as const }]) {
    await assert.rejects(fixture.domain.uploads.trigger({ ...keyed, ...other }), {
      code: 'idempotency_conflict',
    });
  }
});

test('with offline=fail a disconnected agent gives client_offline, and nothing is recorded', async () => {
  const real = await openSqliteStore(':memory:');
  const inserts: string[] = [];
  const store = intercepted<Store>(real, {
    insertUpload: (upload, audit, options) => {
      inserts.push(upload.uploadId);
      return real.insertUpload(upload, audit, options);
    },
  });
  await using fixture = new DomainFixture(store);
  const agent = await fixture.connect();
  const { uploads } = fixture.domain;
  const keyed = { ...request, offline: 'fail', idempotencyKey: 'key-1' } as const;
  const accepted = await uploads.trigger(keyed);
  await endSession(fixture.context, agent.session);
  await assert.rejects(uploads.trigger({ ...request, offline: 'fail' }), {
    code: 'client_offline',
    message: /offline/,
  });
  assert.deepEqual(inserts, [accepted.uploadId]);
  assert.equal((await uploads.trigger(keyed)).uploadId, accepted.uploadId, 'the same request again');
  await assert.rejects(uploads.trigger({ ...request, clientId: 'nobody', offline: 'fail' }), {
    code: 'client_not_found',
  });
});

test('a joined request is audited with its subject and reason', async () => {
  const real = await openSqliteStore(':memory:');
  const joins: (AuditEvent | undefined)[] = [];
  const store = intercepted<Store>(real, {
    insertUpload: (upload, audit, options) => {
      joins.push(options?.join);
      return real.insertUpload(upload, audit, options);
    },
  });
  await using fixture = new DomainFixture(store);
  await fixture.connect();
  await fixture.domain.uploads.trigger({
    ...request,
    requestedBy: 'operator-2',
    reason: 'audit',
    requestedFrom: '192.0.2.7',
  });
  await fixture.domain.uploads.trigger({ ...request, force: true });
  assert.deepEqual(joins, [
    {
      at: fixture.clock.now(),
      actor: 'operator-2',
      address: '192.0.2.7',
      action: 'upload.join',
      clientId: 'client-1',
      uploadId: null,
      detail: { filePath: '/data/report.bin', reason: 'audit' },
    },
    undefined,
  ]);
});

test('the most specific limit applies, each kind separately: the trigger’s, the client’s, the server’s', async () => {
  await using fixture = await openFixture({
    settings: { limits: { parallel_parts: 6, max_rate: 1_000_000 } },
  });
  const able = { capabilities: ['resume', 'upload_limits'] };
  const agent = await fixture.connect('client-1', able);
  const limitsSent = async (limits?: TriggerRequest['limits']) => {
    const { uploadId } = await fixture.domain.uploads.trigger({ ...request, limits, force: true });
    await fixture.reaches(uploadId, 'preparing');
    return agent.connection.sent('prepare_upload').at(-1)?.limits;
  };
  assert.deepEqual(await limitsSent(), { parallel_parts: 6, max_rate: 1_000_000 });
  await fixture.domain.clients.limit('client-1', { limits: { max_rate: 250_000 }, by: 'operator-1' });
  assert.deepEqual(await limitsSent(), { parallel_parts: 6, max_rate: 250_000 });
  assert.deepEqual(await limitsSent({ parallel_parts: 1 }), { parallel_parts: 1, max_rate: 250_000 });
  assert.deepEqual((await fixture.domain.clients.get('client-1')).limits, { max_rate: 250_000 });
  await fixture.domain.clients.limit('client-1', { limits: {}, by: 'operator-1' });
  assert.equal((await fixture.domain.clients.get('client-1')).limits, null);
});

test('a client’s limits survive reconnects and are removed with the client', async () => {
  await using fixture = await openFixture();
  const able = { capabilities: ['upload_limits'] };
  const agent = await fixture.connect('client-1', able);
  await fixture.domain.clients.limit('client-1', { limits: { parallel_parts: 2 }, by: 'operator-1' });
  await endSession(fixture.context, agent.session);
  await fixture.connect('client-1', able);
  assert.deepEqual((await fixture.domain.clients.get('client-1')).limits, { parallel_parts: 2 });
  await fixture.domain.clients.forget('client-1', 'operator-1');
  await fixture.connect('client-1', able);
  assert.equal((await fixture.domain.clients.get('client-1')).limits, null);
});

test('an agent without limit support is sent none, and requesting any gives not_supported', async () => {
  await using fixture = await openFixture({ settings: { limits: { parallel_parts: 6 } } });
  const agent = await fixture.connect();
  const limits = { max_rate: 250_000 };
  await assert.rejects(fixture.domain.uploads.trigger({ ...request, limits }), {
    code: 'not_supported',
    message: /--max-rate/,
  });
  await assert.rejects(fixture.domain.clients.limit('client-1', { limits, by: 'operator-1' }), {
    code: 'not_supported',
  });
  assert.equal(await countUploads(fixture), 0);
  const { uploadId } = await fixture.domain.uploads.trigger({ ...request, limits: {} });
  await fixture.reaches(uploadId, 'preparing');
  assert.equal(agent.connection.sent('prepare_upload')[0]?.limits, undefined);
});

test('a different limit is a different request: a conflict under the same key, another upload without a key', async () => {
  await using fixture = await openFixture();
  await fixture.connect('client-1', { capabilities: ['upload_limits'], maxUploads: 1 });
  const keyed = { ...request, idempotencyKey: 'key-1', limits: { max_rate: 250_000, parallel_parts: 1 } };
  const first = await fixture.domain.uploads.trigger(keyed);
  const turned = { parallel_parts: 1, max_rate: 250_000 };
  assert.equal((await fixture.domain.uploads.trigger({ ...keyed, limits: turned })).uploadId, first.uploadId);
  assert.equal(
    (await fixture.domain.uploads.trigger({ ...request, limits: turned })).uploadId,
    first.uploadId,
  );
  await assert.rejects(fixture.domain.uploads.trigger({ ...keyed, limits: { parallel_parts: 2 } }), {
    code: 'idempotency_conflict',
  });
  assert.notEqual((await fixture.domain.uploads.trigger(request)).uploadId, first.uploadId);
});

test('a path that is impossible on the machine is refused immediately, also while it is disconnected', async () => {
  await using fixture = await openFixture();
  for (const [os, path] of [
    ['linux', 'report.bin'],
    ['linux', '~/report.bin'],
    ['linux', 'C:\\data\\report.bin'],
    ['win32', '/data/report.bin'],
  ] as const) {
    const agent = await fixture.connect('client-1', { platform: { os, arch: 'x64' } });
    await endSession(fixture.context, agent.session);
    await assert.rejects(fixture.domain.uploads.trigger({ ...request, filePath: path }), {
      code: 'invalid_path',
    });
  }
  assert.equal(await countUploads(fixture), 0);
});
