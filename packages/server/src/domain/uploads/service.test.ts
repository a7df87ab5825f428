import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openSqliteStore } from '../../store/open-sqlite-store.ts';
import { failed } from '../agents/handlers/endings.ts';
import { prepared } from '../agents/handlers/prepared.ts';
import { createDomain } from '../create-domain.ts';
import {
  DomainFixture,
  type FixtureOptions,
  RETENTION_MS,
} from '../../../../../test/harness/server/domain-fixture.ts';
import { failedMessage, preparedMessage, uploadedParts } from '../../../../../test/doubles/fake-agent.ts';
import { intercepted } from '../../../../../test/doubles/intercepted.ts';
import { BucketError } from '../ports/bucket.ts';
import { type AuditEvent, type Store, StoreError } from '../ports/store.ts';
import { endSession } from '../agents/handlers/hello.ts';

const HOUR_MS = 3_600_000;
/** A wait that never ends must not block the test run. */
const DEADLINE_MS = 10_000;

async function openFixture(options: FixtureOptions = {}): Promise<DomainFixture> {
  return new DomainFixture(await openSqliteStore(':memory:'), options);
}

/** Behaves like real time in a test that ends before the time has passed. */
function untilStopped(_ms: number, signal: AbortSignal): Promise<void> {
  const { promise, reject } = Promise.withResolvers<void>();
  signal.addEventListener('abort', () => reject(signal.reason as Error));
  return promise;
}

/** A fixture that records the audit events of uploads. */
async function auditedFixture(): Promise<{ fixture: DomainFixture; audits: AuditEvent[] }> {
  const audits: AuditEvent[] = [];
  const real = await openSqliteStore(':memory:');
  const store = intercepted<Store>(real, {
    insertUpload: async (upload, audit, options) => {
      const existing = await real.insertUpload(upload, audit, options);
      if (existing === undefined) audits.push(audit);
      return existing;
    },
    saveUpload: async (upload, save) => {
      const won = await real.saveUpload(upload, save);
      if (won && save.audit !== undefined) audits.push(save.audit);
      return won;
    },
    deleteUpload: async (uploadId, audit) => {
      await real.deleteUpload(uploadId, audit);
      audits.push(audit);
    },
    appendAudit: async (event) => {
      audits.push(event);
      return await real.appendAudit(event);
    },
  });
  return { fixture: new DomainFixture(store), audits };
}

test('a cancel ends the upload, notifies the agent and aborts the multipart upload', async () => {
  await using fixture = await openFixture();
  const { agent, upload } = await fixture.uploading();
  const record = await fixture.domain.uploads.cancel(upload.uploadId, 'operator-2');
  assert.equal(record.status, 'cancelled');
  assert.equal(record.message, 'Cancelled by operator-2.');
  assert.equal(agent.connection.sent('cancel_upload')[0]?.upload_id, upload.uploadId);
  assert.deepEqual(fixture.bucket.aborted, [upload.s3UploadId]);
  assert.equal((await fixture.upload(upload.uploadId)).multipartOpen, false);
  await assert.rejects(fixture.domain.uploads.cancel(upload.uploadId, 'operator-2'), {
    code: 'upload_finished',
  });
});

test('a cancel changes the row first; an unavailable store does not prevent it', async () => {
  await using fixture = await openFixture();
  const { upload } = await fixture.uploading();
  fixture.bucket.fail('abortMultipartUpload', 'unavailable');
  await fixture.domain.uploads.cancel(upload.uploadId, 'operator-2');
  const record = await fixture.upload(upload.uploadId);
  assert.equal(record.status, 'cancelled');
  assert.equal(record.multipartOpen, true, 'for the sweeper');
});

test('a cancel that lost its guard aborts nothing', async () => {
  const real = await openSqliteStore(':memory:');
  const race = { on: false };
  const store = intercepted<Store>(real, {
    saveUpload: async (upload, save) => (race.on ? false : real.saveUpload(upload, save)),
  });
  await using fixture = new DomainFixture(store);
  const { upload } = await fixture.uploading();
  race.on = true;
  assert.equal(
    await fixture.context.ending.end(upload.uploadId, { type: 'cancel', by: 'operator-2' }),
    undefined,
  );
  assert.equal(fixture.bucket.count('abortMultipartUpload'), 0);
});

test(
  'a cancel while completing waits for the outcome, and loses to a success',
  { timeout: DEADLINE_MS },
  async () => {
    await using fixture = await openFixture();
    const release = fixture.bucket.hold('completeMultipartUpload');
    const { upload } = await fixture.completing();
    const state = { settled: false };
    const cancelling = fixture.domain.uploads.cancel(upload.uploadId, 'operator-2').finally(() => {
      state.settled = true;
    });
    const refused = assert.rejects(cancelling, { code: 'upload_finished', message: /completed/ });
    await fixture.idle();
    assert.equal(state.settled, false);
    release();
    await refused;
    assert.equal((await fixture.upload(upload.uploadId)).status, 'completed');
    assert.equal(fixture.bucket.count('abortMultipartUpload'), 0);
  },
);

test('a cancel overtaken by the end of the transfer also waits', { timeout: DEADLINE_MS }, async () => {
  await using fixture = await openFixture();
  const release = fixture.bucket.hold('completeMultipartUpload');
  const { upload } = await fixture.uploading();
  const { ledger } = fixture.context;
  // Holds the upload's lock, as the handler of `completed` does.
  const cancelling = await ledger.exclusively(upload.uploadId, async () => {
    const outcome = assert.rejects(fixture.domain.uploads.cancel(upload.uploadId, 'o'), {
      code: 'upload_finished',
    });
    await fixture.idle();
    const sent = uploadedParts([1, 2, 3]).map(({ part_number: partNumber, etag }) => ({
      partNumber,
      etag,
    }));
    const totals = await fixture.store.recordUploadedParts(upload.uploadId, sent);
    await ledger.apply(await ledger.get(upload.uploadId), {
      type: 'parts_sent',
      totals,
      sha256: null,
      uploadDurationMs: 1,
    });
    return { outcome };
  });
  fixture.context.completion.start(upload.uploadId);
  release();
  await cancelling.outcome;
});

test('a cancel whose caller disconnected stops waiting and stays pending', async () => {
  await using fixture = await openFixture();
  fixture.bucket.hold('completeMultipartUpload');
  const { upload } = await fixture.completing();
  const caller = new AbortController();
  const cancelling = fixture.domain.uploads.cancel(upload.uploadId, 'operator-2', { signal: caller.signal });
  await fixture.idle();
  caller.abort();
  const result = await cancelling;
  const record = await fixture.upload(upload.uploadId);
  assert.deepEqual(result, record);
  assert.deepEqual([record.status, record.cancelRequestedBy], ['completing', 'operator-2']);
});

test('a cancel while the store is unavailable returns within seconds, and the next server start carries it out', async () => {
  await using fixture = await openFixture({ sleep: untilStopped });
  for (const operation of ['completeMultipartUpload', 'head', 'abortMultipartUpload'] as const) {
    fixture.bucket.fail(operation, 'unavailable', { times: 1000 });
  }
  const { upload } = await fixture.completing();
  await fixture.until(
    async () => (await fixture.upload(upload.uploadId)).stalledReason !== null,
    'the outage',
  );
  const startedAt = performance.now();
  const pending = await fixture.domain.uploads.cancel(upload.uploadId, 'operator-2');
  assert.ok(performance.now() - startedAt < 7000);
  assert.equal(pending.status, 'completing');
  assert.match(pending.message ?? '', /cancel by operator-2 is pending/);
  assert.match(pending.stalledReason ?? '', /Waiting for the object store/);
  await assert.rejects(fixture.domain.uploads.remove(upload.uploadId, 'operator-2', { withObject: false }), {
    code: 'upload_not_finished',
    message: /once it has ended/,
  });
  const { uploadId: next } = await fixture.domain.uploads.trigger({
    clientId: 'client-1',
    filePath: upload.filePath,
    requestedBy: 'operator-3',
  });
  assert.notEqual(next, upload.uploadId, 'an upload to be cancelled is not joined');
  await fixture.domain.stop();

  fixture.bucket.recover();
  const { store, bucket, bus, clock, log } = fixture;
  const restarted = createDomain({
    ...{ store, bucket, bus, clock, log },
    settings: fixture.context.settings,
    retentionMs: RETENTION_MS,
    auditRetention: { retentionMs: RETENTION_MS, maxRows: 0 },
    orphanAgeMs: HOUR_MS,
    observe: () => {},
    sleep: clock.sleep,
  });
  await restarted.sweeper.sweep();
  const record = await fixture.reaches(upload.uploadId, 'cancelled');
  assert.equal(record.message, 'Cancelled by operator-2.');
  assert.equal(record.cancelRequestedBy, null);
  assert.deepEqual([bucket.uploads.size, bucket.objects.size], [0, 0]);
  await restarted.stop();
});

test('a pending cancel loses to a Complete whose response was lost', async () => {
  await using fixture = await openFixture();
  const release = fixture.bucket.hold('completeMultipartUpload');
  fixture.bucket.fail('completeMultipartUpload', 'unavailable', { afterEffect: true });
  fixture.bucket.fail('head', 'unavailable');
  const { upload } = await fixture.completing();
  const refused = assert.rejects(fixture.domain.uploads.cancel(upload.uploadId, 'operator-2'), {
    code: 'upload_finished',
    message: /completed/,
  });
  await fixture.idle();
  release();
  await refused;
  assert.equal(fixture.bucket.faultsFired, 2);
  const record = await fixture.upload(upload.uploadId);
  assert.match(record.message ?? '', /came too late/);
  assert.equal(fixture.bucket.count('completeMultipartUpload'), 1);
  assert.equal(fixture.bucket.objects.get(upload.key)?.token, upload.objectToken);
});

test('a pending cancel at the deadline during an outage ends as cancelled, and an object made by Complete is removed later', async () => {
  await using fixture = await openFixture({ settings: { lifetimeMs: 60_000 } });
  const release = fixture.bucket.hold('completeMultipartUpload');
  fixture.bucket.fail('completeMultipartUpload', 'unavailable', { afterEffect: true });
  fixture.bucket.fail('head', 'unavailable', { times: 1000 });
  fixture.bucket.fail('abortMultipartUpload', 'unavailable', { times: 1000 });
  const { upload } = await fixture.completing();
  const cancelling = fixture.domain.uploads.cancel(upload.uploadId, 'operator-2');
  await fixture.idle();
  release();
  assert.equal((await cancelling).status, 'cancelled');
  assert.equal(fixture.bucket.objects.size, 1);
  fixture.bucket.recover();
  await fixture.sweep();
  assert.equal(fixture.bucket.objects.size, 0);
  assert.equal((await fixture.upload(upload.uploadId)).multipartOpen, false);
});

test('a retry waits for a running removal, which could remove the next attempt’s object', async () => {
  await using fixture = await openFixture({ settings: { lifetimeMs: 60_000 } });
  fixture.bucket.fail('completeMultipartUpload', 'unavailable', { afterEffect: true });
  fixture.bucket.fail('head', 'unavailable', { times: 1000 });
  fixture.bucket.fail('abortMultipartUpload', 'unavailable', { times: 1000 });
  const { upload } = await fixture.completing();
  await fixture.reaches(upload.uploadId, 'failed');
  fixture.bucket.recover();
  const gate = Promise.withResolvers<void>();
  const remove = fixture.bucket.deleteObject.bind(fixture.bucket);
  let removals = 0;
  fixture.bucket.deleteObject = async (key, options) => {
    removals += 1;
    if (removals === 1) await gate.promise;
    await remove(key, options);
  };
  const sweeping = fixture.sweep();
  await fixture.until(() => removals === 1, 'the removal');
  let isRetried = false;
  const retrying = fixture.domain.uploads.retry(upload.uploadId, 'operator-2').then((queued) => {
    isRetried = true;
    return queued;
  });
  await fixture.idle();
  const wasRetried = isRetried;
  gate.resolve();
  assert.equal(wasRetried, false);
  assert.equal((await retrying).attempt, 2);
  await sweeping;
  assert.equal(removals, 1);
});

test('a cancel does not wait for a handler that waits for the store', async () => {
  await using fixture = await openFixture();
  const release = fixture.bucket.hold('createMultipartUpload');
  const { agent, upload } = await fixture.preparing();
  const handling = prepared(fixture.context, agent.session, preparedMessage(upload));
  await fixture.until(() => fixture.bucket.count('createMultipartUpload') === 1, 'Create');
  const startedAt = performance.now();
  const record = await fixture.domain.uploads.cancel(upload.uploadId, 'operator-2');
  assert.equal(record.status, 'cancelled');
  assert.ok(performance.now() - startedAt < 7000);
  release();
  await handling;
  assert.equal((await fixture.upload(upload.uploadId)).status, 'cancelled');
  assert.equal(fixture.bucket.uploads.size, 0, 'a multipart upload created too late is aborted');
});

for (const verb of ['remove', 'retry', 'content', 'verify'] as const) {
  test(
    `${verb} returns within seconds while the store does not respond`,
    { timeout: 20_000 },
    async (context) => {
      await using fixture = await openFixture();
      const { upload } = await fixture.completing();
      await fixture.reaches(upload.uploadId, 'completed');
      const failed = await fixture.trigger('/data/other.bin');
      await fixture.context.ending.end(failed.uploadId, {
        type: 'fail',
        error: 'read_failed',
        message: 'It broke.',
      });
      const touched = await fixture.upload(failed.uploadId);
      await fixture.store.saveUpload(
        { ...touched, objectToken: 'token-9', version: touched.version + 1 },
        { expectedVersion: touched.version },
      );
      fixture.bucket.hold('head');
      context.mock.timers.enable({ apis: ['setTimeout'] });
      const { uploads, verifier } = fixture.domain;
      const heads = fixture.bucket.count('head');
      const asked = {
        remove: () => uploads.remove(upload.uploadId, 'operator-1', { withObject: true }),
        retry: () => uploads.retry(failed.uploadId, 'operator-1'),
        content: () => uploads.contentUrl(upload.uploadId, 'operator-1'),
        verify: () => verifier.verify(upload.uploadId, 'operator-1'),
      }[verb]();
      const refused = assert.rejects(asked, { code: 'storage_unavailable', message: /within 10 s/ });
      await fixture.until(() => fixture.bucket.count('head') === heads + 1, 'the call');
      context.mock.timers.tick(10_000);
      await refused;
      assert.equal((await fixture.upload(upload.uploadId)).status, 'completed', 'the record still exists');
    },
  );
}

test('a cancel while completing ends an upload that would be requeued', async () => {
  await using fixture = await openFixture();
  const release = fixture.bucket.hold('completeMultipartUpload');
  fixture.bucket.fail('completeMultipartUpload', 'invalid_parts');
  const { upload } = await fixture.completing();
  // A wait that never ends must not block the test run.
  const signal = AbortSignal.timeout(DEADLINE_MS);
  const cancelling = fixture.domain.uploads.cancel(upload.uploadId, 'operator-2', { signal });
  await fixture.idle();
  release();
  assert.equal((await cancelling).status, 'cancelled');
  assert.equal(fixture.bucket.faultsFired, 1);
  await fixture.until(() => fixture.bucket.aborted.length === 1, 'the abort');
  assert.deepEqual(fixture.bucket.aborted, [upload.s3UploadId]);
});

test('a cancel of an interrupted upload aborts its multipart upload', async () => {
  await using fixture = await openFixture();
  const queued = await fixture.interrupted();
  const record = await fixture.domain.uploads.cancel(queued.uploadId, 'operator-2');
  assert.deepEqual([record.status, record.stalledReason, record.nextAttemptAt], ['cancelled', null, null]);
  await fixture.until(() => fixture.bucket.aborted.length === 1, 'the abort');
  assert.deepEqual(fixture.bucket.aborted, [queued.s3UploadId]);
  assert.deepEqual(await fixture.store.listParts(queued.uploadId), []);
  const agent = await fixture.connect();
  await fixture.idle();
  assert.deepEqual(agent.connection.sent('prepare_upload'), []);
});

test('an interrupted upload has not ended, so it can be neither retried nor removed', async () => {
  await using fixture = await openFixture();
  const queued = await fixture.interrupted();
  const { uploads } = fixture.domain;
  await assert.rejects(uploads.retry(queued.uploadId, 'o'), { code: 'upload_not_retryable' });
  await assert.rejects(uploads.remove(queued.uploadId, 'o', { withObject: true }), {
    code: 'upload_not_finished',
  });
  assert.deepEqual(await fixture.upload(queued.uploadId), queued);
  assert.equal(fixture.bucket.count('abortMultipartUpload'), 0);
});

test('a retry of an upload cancelled in the queue starts from scratch with reset counters', async () => {
  await using fixture = await openFixture();
  const queued = await fixture.interrupted();
  fixture.bucket.fail('abortMultipartUpload', 'unavailable');
  await fixture.domain.uploads.cancel(queued.uploadId, 'operator-2');
  await fixture.until(() => fixture.bucket.faultsFired === 1, 'the abort that fails');
  const retried = await fixture.domain.uploads.retry(queued.uploadId, 'operator-1');
  assert.deepEqual(
    [retried.status, retried.attempt, retried.s3UploadId, retried.setbacks, retried.stalledSince],
    ['queued', 3, null, 0, null],
  );
  assert.deepEqual(fixture.bucket.aborted, [queued.s3UploadId]);
  const { connection } = await fixture.connect();
  await fixture.reaches(queued.uploadId, 'preparing');
  assert.equal(connection.sent('prepare_upload')[0]?.resume, undefined);
});

/** An ended upload, and an orphan of an earlier attempt that no sweep has found yet. */
async function endedWithOrphan(fixture: DomainFixture): Promise<string> {
  const { upload } = await fixture.uploading();
  fixture.bucket.fail('abortMultipartUpload', 'unavailable');
  await fixture.context.recovery.handleFailure(upload, { error: 'upload_gone', message: 'Gone.' });
  await fixture.until(() => fixture.bucket.faultsFired === 1, 'the abort that fails');
  await fixture.domain.uploads.cancel(upload.uploadId, 'operator-1');
  return upload.uploadId;
}

test('a removal also removes leftovers of earlier attempts, because no sweep finds them without the row', async () => {
  await using fixture = await openFixture();
  const uploadId = await endedWithOrphan(fixture);
  const { key } = await fixture.upload(uploadId);
  const longer = { key: `${key}.bak`, token: 't', checksumMode: 'crc32' } as const;
  const stranger = await fixture.bucket.createMultipartUpload(longer);
  fixture.bucket.fail('listMultipartUploads', 'unavailable');
  const remove = () => fixture.domain.uploads.remove(uploadId, 'operator-1', { withObject: false });
  await assert.rejects(remove(), /listMultipartUploads/);
  assert.notEqual(await fixture.store.getUpload(uploadId), undefined);
  await remove();
  assert.deepEqual([...fixture.bucket.uploads.keys()], [stranger.s3UploadId]);
});

test('a removal also removes what a first attempt had created when the server was killed', async () => {
  await using fixture = await openFixture();
  const { upload } = await fixture.preparing();
  await fixture.bucket.createMultipartUpload({ key: upload.key, token: 't', checksumMode: 'crc32' });
  await fixture.domain.uploads.cancel(upload.uploadId, 'operator-1');
  await fixture.domain.uploads.remove(upload.uploadId, 'operator-1', { withObject: false });
  assert.equal(fixture.bucket.uploads.size, 0);
});

test('removing an upload that was never dispatched does not call the bucket', async () => {
  await using fixture = await openFixture();
  await fixture.connect('client-1', { maxUploads: 1 });
  await fixture.trigger('/data/first');
  const { uploadId } = await fixture.trigger('/data/second');
  await fixture.idle();
  await fixture.domain.uploads.cancel(uploadId, 'operator-1');
  await fixture.domain.uploads.remove(uploadId, 'operator-1', { withObject: false });
  assert.equal(fixture.bucket.count('listMultipartUploads'), 0);
});

test('a policy that forbids listing orphans does not prevent the removal of an upload', async () => {
  await using fixture = await openFixture();
  const uploadId = await endedWithOrphan(fixture);
  fixture.bucket.fail('listMultipartUploads', 'refused');
  await fixture.domain.uploads.remove(uploadId, 'operator-1', { withObject: false });
  assert.equal(fixture.bucket.faultsFired, 2);
  assert.equal(await fixture.store.getUpload(uploadId), undefined);
});

test('a retry is a new attempt, with a new token and a new deadline', async () => {
  await using fixture = await openFixture();
  const { agent, upload } = await fixture.uploading();
  await failed(fixture.context, agent.session, failedMessage(upload, 'file_changed'));
  fixture.clock.advance(HOUR_MS);
  const queued = await fixture.domain.uploads.retry(upload.uploadId, 'operator-1');
  assert.equal(queued.status, 'queued');
  assert.equal(queued.attempt, 2);
  assert.equal(queued.expiresAt, fixture.clock.now() + 24 * HOUR_MS);
  const record = await fixture.reaches(upload.uploadId, 'preparing');
  assert.notEqual(record.objectToken, upload.objectToken);
  await prepared(fixture.context, agent.session, preparedMessage(record));
  await fixture.reaches(upload.uploadId, 'uploading');
});

test('a retry of a running or completed upload is refused and changes nothing', async () => {
  await using fixture = await openFixture();
  const { agent, upload } = await fixture.uploading();
  const refusal = { code: 'upload_not_retryable' };
  await assert.rejects(fixture.domain.uploads.retry(upload.uploadId, 'operator-1'), refusal);
  assert.equal(fixture.bucket.count('abortMultipartUpload'), 0);
  await endSession(fixture.context, agent.session);

  const done = await openFixture();
  await using second = done;
  const completing = await second.completing();
  await second.reaches(completing.upload.uploadId, 'completed');
  await assert.rejects(second.domain.uploads.retry(completing.upload.uploadId, 'operator-1'), refusal);
  assert.equal(second.bucket.objects.size, 1);
});

test('a retry is refused while the old parts cannot be removed, because no row would refer to them any more', async () => {
  await using fixture = await openFixture();
  const { agent, upload } = await fixture.uploading();
  fixture.bucket.fail('abortMultipartUpload', 'unavailable', { times: 2 });
  await failed(fixture.context, agent.session, failedMessage(upload, 'file_changed'));
  await assert.rejects(fixture.domain.uploads.retry(upload.uploadId, 'operator-1'), {
    code: 'storage_unavailable',
  });
  assert.equal((await fixture.upload(upload.uploadId)).multipartOpen, true);
  await fixture.domain.uploads.retry(upload.uploadId, 'operator-1');
  assert.deepEqual(fixture.bucket.aborted, [upload.s3UploadId]);
});

test('a retry removes an object that was completed but never verified, so that the new attempt can complete', async () => {
  await using fixture = await openFixture({ settings: { lifetimeMs: 60_000 } });
  // Complete takes effect, but the store is unavailable from then on.
  fixture.bucket.fail('completeMultipartUpload', 'unavailable', { afterEffect: true });
  fixture.bucket.fail('head', 'unavailable', { times: 2000 });
  const { upload } = await fixture.completing();
  await fixture.reaches(upload.uploadId, 'failed');
  assert.equal(fixture.bucket.objects.size, 1);
  await assert.rejects(fixture.domain.uploads.retry(upload.uploadId, 'operator-1'), {
    code: 'storage_unavailable',
  });
  assert.equal((await fixture.upload(upload.uploadId)).status, 'failed');
  fixture.bucket.recover();
  await fixture.domain.uploads.retry(upload.uploadId, 'operator-1');
  assert.equal(fixture.bucket.objects.size, 0);
});

test('a retry does not remove a foreign object at the key', async () => {
  await using fixture = await openFixture();
  const { agent, upload } = await fixture.uploading();
  await failed(fixture.context, agent.session, failedMessage(upload, 'file_changed'));
  const foreign = {
    sizeBytes: 1,
    etag: '"foreign"',
    versionId: null,
    token: 'not ours',
    crc32: null,
    serverSideEncryption: null,
    storageClass: null,
  };
  fixture.bucket.objects.set(upload.key, foreign);
  await fixture.domain.uploads.retry(upload.uploadId, 'operator-1');
  assert.equal(fixture.bucket.objects.get(upload.key), foreign);
});

test('an upload that has not ended cannot be removed', async () => {
  await using fixture = await openFixture();
  const { upload } = await fixture.uploading();
  await assert.rejects(fixture.domain.uploads.remove(upload.uploadId, 'operator-1', { withObject: true }), {
    code: 'upload_not_finished',
  });
  assert.equal((await fixture.upload(upload.uploadId)).status, 'uploading');
});

test('an upload is removed with its object only on request', async () => {
  for (const withObject of [true, false]) {
    await using fixture = await openFixture();
    const { upload } = await fixture.completing();
    await fixture.reaches(upload.uploadId, 'completed');
    await fixture.domain.uploads.remove(upload.uploadId, 'operator-1', { withObject });
    assert.equal(await fixture.store.getUpload(upload.uploadId), undefined);
    assert.equal(fixture.bucket.objects.has(upload.key), !withObject);
  }
});

test('an object without a token at the key is not reported as removed', async () => {
  await using fixture = await openFixture();
  const { upload } = await fixture.completing();
  await fixture.reaches(upload.uploadId, 'completed');
  const own = fixture.bucket.objects.get(upload.key);
  assert.ok(own !== undefined);
  fixture.bucket.objects.set(upload.key, { ...own, token: null });
  await assert.rejects(fixture.domain.uploads.remove(upload.uploadId, 'operator-1', { withObject: true }), {
    code: 'storage_refused',
    message: /does not carry this upload's token, so it was not removed/,
  });
  assert.ok(fixture.bucket.objects.has(upload.key));
  await fixture.domain.uploads.remove(upload.uploadId, 'operator-1', { withObject: false });
  assert.equal(await fixture.store.getUpload(upload.uploadId), undefined);
});

test('a foreign object at the key stays when the upload is removed', async () => {
  await using fixture = await openFixture();
  const { upload } = await fixture.completing();
  await fixture.reaches(upload.uploadId, 'completed');
  const own = fixture.bucket.objects.get(upload.key);
  assert.ok(own !== undefined);
  fixture.bucket.objects.set(upload.key, { ...own, token: 'not ours' });
  await fixture.domain.uploads.remove(upload.uploadId, 'operator-1', { withObject: true });
  assert.ok(fixture.bucket.objects.has(upload.key));
});

test('an upload whose parts cannot be removed yet is not removed, so that they are not forgotten', async () => {
  await using fixture = await openFixture();
  const { upload } = await fixture.uploading();
  fixture.bucket.fail('abortMultipartUpload', 'unavailable', { times: 2 });
  await fixture.domain.uploads.cancel(upload.uploadId, 'operator-1');
  const remove = () => fixture.domain.uploads.remove(upload.uploadId, 'operator-1', { withObject: false });
  await assert.rejects(remove(), { code: 'storage_unavailable' });
  assert.equal((await fixture.upload(upload.uploadId)).multipartOpen, true);
  await remove();
  assert.equal(fixture.bucket.uploads.size, 0);
});

test('content is available only for completed uploads whose object is still their own', async () => {
  await using fixture = await openFixture();
  const { upload } = await fixture.completing();
  const url = fixture.domain.uploads.contentUrl.bind(fixture.domain.uploads);
  await fixture.reaches(upload.uploadId, 'completed');
  assert.equal(await url(upload.uploadId, 'operator-1'), `https://store.test/${upload.key}?get`);

  const own = fixture.bucket.objects.get(upload.key);
  assert.ok(own !== undefined);
  fixture.bucket.objects.set(upload.key, { ...own, token: 'not ours' });
  await assert.rejects(url(upload.uploadId, 'operator-1'), { code: 'object_not_found' });
  fixture.bucket.objects.clear();
  await assert.rejects(url(upload.uploadId, 'operator-1'), { code: 'object_not_found' });

  const other = await fixture.trigger();
  await assert.rejects(url(other.uploadId, 'operator-1'), { code: 'upload_not_completed' });
});

test('operators’ actions are audited with their subject', async () => {
  const { fixture: opened, audits } = await auditedFixture();
  await using fixture = opened;
  const { upload } = await fixture.uploading();
  const { uploads } = fixture.domain;
  await uploads.cancel(upload.uploadId, 'operator-2');
  await uploads.retry(upload.uploadId, 'operator-3');
  await fixture.idle();
  await uploads.cancel(upload.uploadId, 'operator-2');
  await uploads.remove(upload.uploadId, 'operator-4', { withObject: true });
  assert.deepEqual(
    audits.map(({ action, actor }) => `${action} ${actor}`),
    [
      'upload.trigger operator-1',
      'upload.cancel operator-2',
      'upload.retry operator-3',
      'upload.cancel operator-2',
      'upload.delete operator-4',
    ],
  );
  assert.ok(
    audits.every(({ uploadId, clientId }) => uploadId === upload.uploadId && clientId === 'client-1'),
  );
});

test('each audit event has the address of its request', async () => {
  const { fixture: opened, audits } = await auditedFixture();
  await using fixture = opened;
  const from = '192.0.2.7';
  const { upload } = await fixture.completing();
  await fixture.reaches(upload.uploadId, 'completed');
  const { uploads } = fixture.domain;
  audits.length = 0;
  const request = { clientId: 'client-1', requestedBy: 'operator-1', requestedFrom: from };
  const { uploadId } = await uploads.trigger({ ...request, filePath: '/x' });
  await uploads.cancel(uploadId, 'operator-1', { from });
  await uploads.retry(uploadId, 'operator-1', { from });
  await uploads.contentUrl(upload.uploadId, 'operator-1', { from });
  await uploads.remove(upload.uploadId, 'operator-1', { withObject: true, from });
  assert.deepEqual(
    audits.map(({ action, address }) => `${action} ${address}`),
    ['trigger', 'cancel', 'retry', 'content', 'delete_object', 'delete'].map(
      (action) => `upload.${action} 192.0.2.7`,
    ),
  );
});

test('without its audit event no URL is given out and no object is deleted', async () => {
  const real = await openSqliteStore(':memory:');
  const appendAudit = () => Promise.reject(new StoreError('full'));
  await using fixture = new DomainFixture(intercepted<Store>(real, { appendAudit }));
  const { upload } = await fixture.completing();
  const { uploadId } = await fixture.reaches(upload.uploadId, 'completed');
  await assert.rejects(fixture.domain.uploads.contentUrl(uploadId, 'operator-1'), StoreError);
  await assert.rejects(
    fixture.domain.uploads.remove(uploadId, 'operator-1', { withObject: true }),
    StoreError,
  );
  assert.equal(fixture.bucket.count('deleteObject'), 0);
  assert.equal((await fixture.upload(uploadId)).status, 'completed');
});

test('a failure to sign a URL leaves no audit event', async () => {
  const { fixture: opened, audits } = await auditedFixture();
  await using fixture = opened;
  const { upload } = await fixture.completing();
  const { uploadId } = await fixture.reaches(upload.uploadId, 'completed');
  audits.length = 0;
  fixture.bucket.signGet = () => Promise.reject(new BucketError('refused', 'no credentials'));
  await assert.rejects(fixture.domain.uploads.contentUrl(uploadId, 'operator-1'), BucketError);
  assert.deepEqual(audits, []);
});

test('a refused action leaves no audit event', async () => {
  const { fixture: opened, audits } = await auditedFixture();
  await using fixture = opened;
  const { upload } = await fixture.uploading();
  const before = audits.length;
  await assert.rejects(fixture.domain.uploads.retry(upload.uploadId, 'operator-2'));
  await assert.rejects(fixture.domain.uploads.remove(upload.uploadId, 'operator-2', { withObject: true }));
  await fixture.domain.uploads.trigger({
    clientId: 'client-1',
    filePath: '/x',
    requestedBy: 'o',
    idempotencyKey: 'k',
  });
  await fixture.domain.uploads.trigger({
    clientId: 'client-1',
    filePath: '/x',
    requestedBy: 'o',
    idempotencyKey: 'k',
  });
  assert.equal(audits.length, before + 1, 'the one new trigger');
});

test('a wait ends with the upload, by a hint', { timeout: DEADLINE_MS }, async () => {
  await using fixture = await openFixture();
  const { upload } = await fixture.uploading();
  const waiting = fixture.domain.uploads.waitUntilEnded(upload.uploadId);
  await fixture.until(() => fixture.bus.subscriptions === 1, 'the subscription');
  await fixture.domain.uploads.cancel(upload.uploadId, 'operator-1');
  assert.equal((await waiting).status, 'cancelled');
  assert.equal(fixture.bus.subscriptions, 0);
});

test('a wait ends with the upload even if every hint gets lost', async () => {
  await using fixture = await openFixture({ pollMs: 10 });
  fixture.bus.isDeaf = true;
  const { upload } = await fixture.uploading();
  const signal = AbortSignal.timeout(DEADLINE_MS);
  const waiting = fixture.domain.uploads.waitUntilEnded(upload.uploadId, { signal });
  await fixture.idle();
  await fixture.domain.uploads.cancel(upload.uploadId, 'operator-1');
  assert.equal((await waiting).status, 'cancelled');
  assert.equal(signal.aborted, false, 'it was aborted and would have waited forever');
});

test('a hint that arrives while the row is read is not missed', { timeout: DEADLINE_MS }, async () => {
  const real = await openSqliteStore(':memory:');
  const slow = { once: undefined as (() => Promise<void>) | undefined };
  const store = intercepted<Store>(real, {
    getUpload: async (uploadId) => {
      const found = await real.getUpload(uploadId);
      const { once } = slow;
      slow.once = undefined;
      await once?.();
      return found;
    },
  });
  await using fixture = new DomainFixture(store);
  const { upload } = await fixture.uploading();
  slow.once = async () => {
    await fixture.domain.uploads.cancel(upload.uploadId, 'operator-1');
  };
  assert.equal((await fixture.domain.uploads.waitUntilEnded(upload.uploadId)).status, 'cancelled');
});

test('an aborted wait returns the current upload', { timeout: DEADLINE_MS }, async () => {
  await using fixture = await openFixture();
  const { upload } = await fixture.uploading();
  const caller = new AbortController();
  const waiting = fixture.domain.uploads.waitUntilEnded(upload.uploadId, { signal: caller.signal });
  await fixture.idle();
  caller.abort();
  assert.equal((await waiting).status, 'uploading');
  const again = fixture.domain.uploads.waitUntilEnded(upload.uploadId, { signal: caller.signal });
  assert.equal((await again).status, 'uploading');
  assert.equal(fixture.bus.subscriptions, 0);
});

test('a wait for an upload that is removed ends as upload_not_found', { timeout: DEADLINE_MS }, async () => {
  await using fixture = await openFixture({ pollMs: 10 });
  const { upload } = await fixture.uploading();
  fixture.bus.isDeaf = true;
  const real = fixture.domain.uploads;
  const waiting = assert.rejects(real.waitUntilEnded(upload.uploadId), { code: 'upload_not_found' });
  await fixture.idle();
  await fixture.store.deleteUpload(upload.uploadId, {
    at: 0,
    actor: 'o',
    action: 'upload.delete',
    clientId: null,
    uploadId: null,
    detail: {},
  });
  await waiting;
});
