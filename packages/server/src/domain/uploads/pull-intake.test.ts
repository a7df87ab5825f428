import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BackhaulError } from '@backhaul/protocol';
import { openSqliteStore } from '../../store/open-sqlite-store.ts';
import { completed } from '../agent-messages/completed.ts';
import { failed } from '../agent-messages/failed.ts';
import { prepared } from '../agent-messages/prepared.ts';
import { type BenchOptions, DomainBench } from '../fakes/domain-bench.ts';
import { completedMessage, failedMessage, preparedMessage } from '../fakes/fake-agent.ts';
import { intercepted } from '../fakes/intercepted.ts';
import { sampleAudit, sampleUpload } from '../fakes/sample-upload.ts';
import type { AuditEvent, Store } from '../ports/store.ts';
import { endSession } from '../sessions/end-session.ts';
import type { PullRequest } from './pull-intake.ts';

const HOUR_MS = 3_600_000;
const request = { clientId: 'client-1', filePath: '/data/report.bin', requestedBy: 'operator-1' };

async function openBench(options: BenchOptions = {}): Promise<DomainBench> {
  return new DomainBench(await openSqliteStore(':memory:'), options);
}

async function countUploads(bench: DomainBench): Promise<number> {
  return (await bench.store.listUploads({ limit: 500 })).length;
}

test('a trigger is durable when it is answered, with a key of the server’s making', async () => {
  await using bench = await openBench();
  await bench.connect('client-1', { maxUploads: 1, platform: { os: 'win32', arch: 'x64' } });
  const upload = await bench.domain.uploads.trigger({
    clientId: 'client-1',
    filePath: 'C:\\Data\\März 2025.csv',
    reason: 'month end',
    requestedBy: 'operator-1',
  });
  const stored = await bench.upload(upload.uploadId);
  assert.equal(stored.filePath, 'C:\\Data\\März 2025.csv');
  assert.equal(stored.fileName, 'März 2025.csv');
  assert.equal(stored.key, `uploads/client-1/${upload.uploadId}/Ma_rz_2025.csv`);
  assert.equal(stored.reason, 'month end');
  assert.equal(stored.expiresAt, bench.clock.now() + 24 * HOUR_MS);
  assert.equal(upload.status, 'queued');
});

test('a trigger without a path asks for the agent’s own', async () => {
  await using bench = await openBench();
  await bench.connect('client-1', { default_file_path: '/data/default.bin' });
  const upload = await bench.domain.uploads.trigger({ clientId: 'client-1', requestedBy: 'operator-1' });
  assert.equal(upload.filePath, '/data/default.bin');
});

test('a trigger without a path for an agent without one is an invalid_request that names the field', async () => {
  await using bench = await openBench();
  await bench.connect();
  await assert.rejects(bench.domain.uploads.trigger({ clientId: 'client-1', requestedBy: 'operator-1' }), {
    code: 'invalid_request',
    message: /file_path/,
  });
});

test('a trigger for a client that never connected is client_not_found, and leaves no row', async () => {
  await using bench = await openBench();
  await assert.rejects(bench.trigger(), { code: 'client_not_found' });
  assert.deepEqual(await bench.store.listUploads({ limit: 10 }), []);
});

test('the same idempotency key gives the same upload to its subject, and a conflict for another request', async () => {
  await using bench = await openBench();
  await bench.connect();
  const keyed = { ...request, idempotencyKey: 'key-1' };
  const { uploads } = bench.domain;
  const [first, ...again] = await Promise.all([1, 2, 3].map(() => uploads.trigger(keyed)));
  for (const upload of again) assert.equal(upload.uploadId, first?.uploadId);
  assert.equal((await bench.store.listUploads({ limit: 10 })).length, 1);

  await bench.connect('client-2');
  const others: Partial<PullRequest>[] = [
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

test('the same request again is the same upload, even once its client has another default file or is forgotten', async () => {
  await using bench = await openBench();
  await bench.connect();
  const keyed = { clientId: 'client-1', requestedBy: 'operator-1', idempotencyKey: 'key-1' };
  const { uploads } = bench.domain;
  const first = await uploads.trigger({ ...keyed, filePath: '/a' });
  const audit = { at: 1, actor: 'operator-1', action: 'client.forget', clientId: 'client-1', uploadId: null };
  await bench.store.deleteClient('client-1', { ...audit, detail: {} });
  assert.equal((await uploads.trigger({ ...keyed, filePath: '/a' })).uploadId, first.uploadId);
  assert.equal((await uploads.trigger(keyed)).uploadId, first.uploadId);
});

test('the same request without a key is the same upload, until that has ended', async () => {
  await using bench = await openBench();
  const { agent, upload } = await bench.uploading();
  const { uploads } = bench.domain;
  const again = await uploads.trigger(request);
  assert.equal(again.uploadId, upload.uploadId);
  assert.equal(again.status, 'uploading');
  await failed(bench.context, agent.session, failedMessage(upload, 'permission_denied'));
  const next = await uploads.trigger(request);
  assert.notEqual(next.uploadId, upload.uploadId);
  assert.equal(await countUploads(bench), 2);
});

test('of requests for one file at the same moment, one makes an upload and the others join it', async () => {
  await using bench = await openBench();
  await bench.connect();
  const all = await Promise.all(
    Array.from({ length: 20 }, (_, index) =>
      bench.domain.uploads.trigger({ ...request, requestedBy: `operator-${index}` }),
    ),
  );
  assert.equal(new Set(all.map(({ uploadId }) => uploadId)).size, 1);
  assert.equal(await countUploads(bench), 1);
});

test('another path, client or change policy makes another upload, and so does force', async () => {
  await using bench = await openBench();
  await bench.connect();
  await bench.connect('client-2');
  const { uploads } = bench.domain;
  const first = await uploads.trigger(request);
  const others: Partial<PullRequest>[] = [
    { filePath: '/data/other.bin' },
    { clientId: 'client-2' },
    { onChange: 'prefix' },
    { force: true },
  ];
  for (const other of others) {
    const { uploadId } = await uploads.trigger({ ...request, ...other });
    assert.notEqual(uploadId, first.uploadId, JSON.stringify(other));
  }
  assert.equal(await countUploads(bench), 5);
});

test('a request joins the newest of several', async () => {
  await using bench = await openBench();
  await bench.connect('client-1', { maxUploads: 1 });
  const { uploads } = bench.domain;
  await uploads.trigger(request);
  bench.clock.advance(1);
  const newest = await uploads.trigger({ ...request, force: true });
  assert.equal((await uploads.trigger(request)).uploadId, newest.uploadId);
});

test('joining moves the deadline on if it promised more time, never back, and tells of it', async () => {
  await using bench = await openBench();
  const agent = await bench.connect();
  await endSession(bench.context, agent.session);
  const { uploads } = bench.domain;
  const first = await uploads.trigger({ ...request, expiresInMs: HOUR_MS });
  assert.equal(first.expiresAt, bench.clock.now() + HOUR_MS);
  const shorter = await uploads.trigger({ ...request, expiresInMs: HOUR_MS / 2 });
  assert.equal(shorter.expiresAt, first.expiresAt);
  assert.equal(shorter.version, first.version);

  const hints: number[] = [];
  using unsubscribing = new DisposableStack();
  unsubscribing.defer(bench.bus.subscribe(({ version }) => hints.push(version)));
  const longer = await uploads.trigger({ ...request, expiresInMs: 2 * HOUR_MS });
  assert.equal(longer.uploadId, first.uploadId);
  assert.equal(longer.expiresAt, bench.clock.now() + 2 * HOUR_MS);
  assert.equal(longer.version, first.version + 1);
  assert.deepEqual(await bench.upload(first.uploadId), longer);
  assert.deepEqual(hints, [longer.version]);

  bench.clock.advance(HOUR_MS);
  await bench.sweep();
  assert.equal((await bench.upload(first.uploadId)).status, 'queued', 'the first deadline no longer counts');
});

test('a request that joins while a message is being handled costs neither of them anything', async () => {
  await using bench = await openBench();
  const { agent, upload } = await bench.preparing();
  const release = bench.bucket.hold('createMultipartUpload');
  const preparing = prepared(bench.context, agent.session, preparedMessage(upload));
  await bench.until(() => bench.bucket.count('createMultipartUpload') === 1, 'the create');
  const joined = await bench.domain.uploads.trigger({ ...request, expiresInMs: 48 * HOUR_MS });
  assert.equal(joined.uploadId, upload.uploadId);
  assert.equal(joined.version, upload.version + 1, 'the row has moved on');
  release();
  await preparing;
  const uploading = await bench.upload(upload.uploadId);
  assert.equal(uploading.status, 'uploading');
  assert.equal(uploading.expiresAt, joined.expiresAt);
  assert.deepEqual(bench.bucket.aborted, []);
});

test('a request that joins while the upload is being completed does not hold it up', async () => {
  await using bench = await openBench();
  const { agent, upload } = await bench.uploading();
  const release = bench.bucket.hold('completeMultipartUpload');
  await completed(bench.context, agent.session, completedMessage(upload));
  await bench.until(() => bench.bucket.count('completeMultipartUpload') === 1, 'the completion');
  bench.clock.advance(1);
  const joined = await bench.domain.uploads.trigger(request);
  assert.equal(joined.status, 'completing');
  release();
  const record = await bench.reaches(upload.uploadId, 'completed');
  assert.equal(record.expiresAt, joined.expiresAt);
  assert.equal(bench.log.entries.filter(({ level }) => level === 'error').length, 0);
});

test('a hand-over that meets a request which joins is made up for at once', async () => {
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
  await using bench = new DomainBench(store);
  const { agent, upload } = await bench.uploading();
  await endSession(bench.context, agent.session);
  // S3 is asked what it holds before the next attempt, and then the row has moved on.
  race.join = () => bench.domain.uploads.trigger({ ...request, expiresInMs: 48 * HOUR_MS });
  await bench.connect();
  const record = await bench.reaches(upload.uploadId, 'preparing');
  assert.equal(race.met, 1);
  assert.equal(record.expiresAt, bench.clock.now() + 48 * HOUR_MS);
});

test('the key of a request that joined still gives that upload once it has ended', async () => {
  await using bench = await openBench();
  const { agent, upload } = await bench.uploading();
  const { uploads } = bench.domain;
  const keyed = { ...request, requestedBy: 'operator-2', reason: 'audit', idempotencyKey: 'key-1' };
  assert.equal((await uploads.trigger(keyed)).uploadId, upload.uploadId);
  await failed(bench.context, agent.session, failedMessage(upload, 'permission_denied'));
  const late = await uploads.trigger(keyed);
  assert.equal(late.uploadId, upload.uploadId);
  assert.equal(late.status, 'failed');
  assert.equal(late.reason, null, 'the record is that of the request which made it');
  await assert.rejects(uploads.trigger({ ...keyed, reason: 'another' }), { code: 'idempotency_conflict' });
  assert.equal(await countUploads(bench), 1);

  await uploads.remove(upload.uploadId, 'operator-1', { withObject: false });
  assert.notEqual((await uploads.trigger(keyed)).uploadId, upload.uploadId, 'the key goes with the upload');
});

test('of requests with one key at the same moment, those that differ are a conflict also if they could join', async () => {
  await using bench = await openBench();
  await bench.connect();
  const keyed = { ...request, idempotencyKey: 'key-1' };
  const outcomes = await Promise.allSettled(
    ['a', 'b'].map((reason) => bench.domain.uploads.trigger({ ...keyed, reason })),
  );
  const refusals = outcomes.flatMap((outcome) =>
    outcome.status === 'rejected' ? [outcome.reason as unknown] : [],
  );
  assert.equal(refusals.length, 1);
  assert.ok(refusals[0] instanceof BackhaulError);
  assert.equal(refusals[0].code, 'idempotency_conflict');
});

test('a key from before there were options is for the request without any', async () => {
  await using bench = await openBench();
  await bench.connect();
  const upload = sampleUpload({ idempotencyKey: 'key-1', reason: 'audit' });
  await bench.store.insertUpload(upload, sampleAudit());
  const keyed = { ...request, reason: 'audit', idempotencyKey: 'key-1' };
  assert.equal((await bench.domain.uploads.trigger(keyed)).uploadId, upload.uploadId);
  for (const other of [{ reason: 'x' }, { onChange: 'restart' as const }]) {
    await assert.rejects(bench.domain.uploads.trigger({ ...keyed, ...other }), {
      code: 'idempotency_conflict',
    });
  }
});

test('with offline=fail an agent that is away is client_offline, and nothing is recorded', async () => {
  const real = await openSqliteStore(':memory:');
  const inserts: string[] = [];
  const store = intercepted<Store>(real, {
    insertUpload: (upload, audit, options) => {
      inserts.push(upload.uploadId);
      return real.insertUpload(upload, audit, options);
    },
  });
  await using bench = new DomainBench(store);
  const agent = await bench.connect();
  const { uploads } = bench.domain;
  const keyed = { ...request, offline: 'fail', idempotencyKey: 'key-1' } as const;
  const accepted = await uploads.trigger(keyed);
  await endSession(bench.context, agent.session);
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

test('a request that joined is on record with who asked, and why', async () => {
  const real = await openSqliteStore(':memory:');
  const joins: (AuditEvent | undefined)[] = [];
  const store = intercepted<Store>(real, {
    insertUpload: (upload, audit, options) => {
      joins.push(options?.join);
      return real.insertUpload(upload, audit, options);
    },
  });
  await using bench = new DomainBench(store);
  await bench.connect();
  await bench.domain.uploads.trigger({ ...request, requestedBy: 'operator-2', reason: 'audit' });
  await bench.domain.uploads.trigger({ ...request, force: true });
  assert.deepEqual(joins, [
    {
      at: bench.clock.now(),
      actor: 'operator-2',
      action: 'upload.join',
      clientId: 'client-1',
      uploadId: null,
      detail: { filePath: '/data/report.bin', reason: 'audit' },
    },
    undefined,
  ]);
});

test('the nearest limit that is set holds, of each kind: the trigger’s, the client’s, the server’s', async () => {
  await using bench = await openBench({ settings: { limits: { parallel_parts: 6, max_rate: 1_000_000 } } });
  const able = { capabilities: ['resume', 'upload_limits'] };
  const agent = await bench.connect('client-1', able);
  const limitsSent = async (limits?: PullRequest['limits']) => {
    const { uploadId } = await bench.domain.uploads.trigger({ ...request, limits, force: true });
    await bench.reaches(uploadId, 'preparing');
    return agent.connection.sent('prepare_upload').at(-1)?.limits;
  };
  assert.deepEqual(await limitsSent(), { parallel_parts: 6, max_rate: 1_000_000 });
  await bench.domain.clients.limit('client-1', { limits: { max_rate: 250_000 }, by: 'operator-1' });
  assert.deepEqual(await limitsSent(), { parallel_parts: 6, max_rate: 250_000 });
  assert.deepEqual(await limitsSent({ parallel_parts: 1 }), { parallel_parts: 1, max_rate: 250_000 });
  assert.deepEqual((await bench.domain.clients.get('client-1')).limits, { max_rate: 250_000 });
  await bench.domain.clients.limit('client-1', { limits: {}, by: 'operator-1' });
  assert.equal((await bench.domain.clients.get('client-1')).limits, null);
});

test('a client’s limits stay when its agent connects again, and go when it is forgotten', async () => {
  await using bench = await openBench();
  const able = { capabilities: ['upload_limits'] };
  const agent = await bench.connect('client-1', able);
  await bench.domain.clients.limit('client-1', { limits: { parallel_parts: 2 }, by: 'operator-1' });
  await endSession(bench.context, agent.session);
  await bench.connect('client-1', able);
  assert.deepEqual((await bench.domain.clients.get('client-1')).limits, { parallel_parts: 2 });
  await bench.domain.clients.forget('client-1', 'operator-1');
  await bench.connect('client-1', able);
  assert.equal((await bench.domain.clients.get('client-1')).limits, null);
});

test('an agent that keeps no limits is sent none, and asked for any it is not_supported', async () => {
  await using bench = await openBench({ settings: { limits: { parallel_parts: 6 } } });
  const agent = await bench.connect();
  const limits = { max_rate: 250_000 };
  await assert.rejects(bench.domain.uploads.trigger({ ...request, limits }), {
    code: 'not_supported',
    message: /--max-rate/,
  });
  await assert.rejects(bench.domain.clients.limit('client-1', { limits, by: 'operator-1' }), {
    code: 'not_supported',
  });
  assert.equal(await countUploads(bench), 0);
  const { uploadId } = await bench.domain.uploads.trigger({ ...request, limits: {} });
  await bench.reaches(uploadId, 'preparing');
  assert.equal(agent.connection.sent('prepare_upload')[0]?.limits, undefined);
});

test('another limit is another request: under one key a conflict, without one another upload', async () => {
  await using bench = await openBench();
  await bench.connect('client-1', { capabilities: ['upload_limits'], maxUploads: 1 });
  const keyed = { ...request, idempotencyKey: 'key-1', limits: { max_rate: 250_000, parallel_parts: 1 } };
  const first = await bench.domain.uploads.trigger(keyed);
  const turned = { parallel_parts: 1, max_rate: 250_000 };
  assert.equal((await bench.domain.uploads.trigger({ ...keyed, limits: turned })).uploadId, first.uploadId);
  assert.equal((await bench.domain.uploads.trigger({ ...request, limits: turned })).uploadId, first.uploadId);
  await assert.rejects(bench.domain.uploads.trigger({ ...keyed, limits: { parallel_parts: 2 } }), {
    code: 'idempotency_conflict',
  });
  assert.notEqual((await bench.domain.uploads.trigger(request)).uploadId, first.uploadId);
});

test('a path that the machine cannot have is refused at once, also while it is away', async () => {
  await using bench = await openBench();
  for (const [os, path] of [
    ['linux', 'report.bin'],
    ['linux', '~/report.bin'],
    ['linux', 'C:\\data\\report.bin'],
    ['win32', '/data/report.bin'],
  ] as const) {
    const agent = await bench.connect('client-1', { platform: { os, arch: 'x64' } });
    await endSession(bench.context, agent.session);
    await assert.rejects(bench.domain.uploads.trigger({ ...request, filePath: path }), {
      code: 'invalid_path',
    });
  }
  assert.equal(await countUploads(bench), 0);
});
