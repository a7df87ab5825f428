import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openSqliteStore } from '../../store/open-sqlite-store.ts';
import { createDomain } from '../create-domain.ts';
import { type BenchOptions, DomainBench, RETENTION_MS } from '../fakes/domain-bench.ts';
import { failedMessage, preparedMessage, uploadedParts } from '../fakes/fake-agent.ts';
import { intercepted } from '../fakes/intercepted.ts';
import { failed } from '../agent-messages/failed.ts';
import { prepared } from '../agent-messages/prepared.ts';
import type { AuditEvent, Store } from '../ports/store.ts';
import { endSession } from '../sessions/end-session.ts';

const HOUR_MS = 3_600_000;
/** A wait that nothing ends must not hold up the run. */
const DEADLINE_MS = 10_000;

async function openBench(options: BenchOptions = {}): Promise<DomainBench> {
  return new DomainBench(await openSqliteStore(':memory:'), options);
}

/** As real time does for a test that ends before it has passed. */
function untilStopped(_ms: number, signal: AbortSignal): Promise<void> {
  const { promise, reject } = Promise.withResolvers<void>();
  signal.addEventListener('abort', () => reject(signal.reason as Error));
  return promise;
}

/** A bench that keeps the audit events of uploads. */
async function auditedBench(): Promise<{ bench: DomainBench; audits: AuditEvent[] }> {
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
      await real.appendAudit(event);
      audits.push(event);
    },
  });
  return { bench: new DomainBench(store), audits };
}

test('a cancel ends the upload, tells the agent and aborts the multipart upload', async () => {
  await using bench = await openBench();
  const { agent, upload } = await bench.uploading();
  const record = await bench.domain.uploads.cancel(upload.uploadId, 'operator-2');
  assert.equal(record.status, 'cancelled');
  assert.equal(record.message, 'Cancelled by operator-2.');
  assert.equal(agent.connection.sent('cancel_upload')[0]?.upload_id, upload.uploadId);
  assert.deepEqual(bench.bucket.aborted, [upload.s3UploadId]);
  assert.equal((await bench.upload(upload.uploadId)).multipartOpen, false);
  await assert.rejects(bench.domain.uploads.cancel(upload.uploadId, 'operator-2'), {
    code: 'upload_finished',
  });
});

test('a cancel is the row’s first; a store that is away does not keep it from ending', async () => {
  await using bench = await openBench();
  const { upload } = await bench.uploading();
  bench.bucket.fail('abortMultipartUpload', 'unavailable');
  await bench.domain.uploads.cancel(upload.uploadId, 'operator-2');
  const record = await bench.upload(upload.uploadId);
  assert.equal(record.status, 'cancelled');
  assert.equal(record.multipartOpen, true, 'for the sweeper');
});

test('a cancel that lost its guard aborts nothing', async () => {
  const real = await openSqliteStore(':memory:');
  const race = { on: false };
  const store = intercepted<Store>(real, {
    saveUpload: async (upload, save) => (race.on ? false : real.saveUpload(upload, save)),
  });
  await using bench = new DomainBench(store);
  const { upload } = await bench.uploading();
  race.on = true;
  assert.equal(
    await bench.context.ending.end(upload.uploadId, { type: 'cancel', by: 'operator-2' }),
    undefined,
  );
  assert.equal(bench.bucket.count('abortMultipartUpload'), 0);
});

test(
  'a cancel while completing waits for the finding, and loses to a success',
  { timeout: DEADLINE_MS },
  async () => {
    await using bench = await openBench();
    const release = bench.bucket.hold('completeMultipartUpload');
    const { upload } = await bench.completing();
    const state = { settled: false };
    const cancelling = bench.domain.uploads.cancel(upload.uploadId, 'operator-2').finally(() => {
      state.settled = true;
    });
    const refused = assert.rejects(cancelling, { code: 'upload_finished', message: /completed/ });
    await bench.settle();
    assert.equal(state.settled, false);
    release();
    await refused;
    assert.equal((await bench.upload(upload.uploadId)).status, 'completed');
    assert.equal(bench.bucket.count('abortMultipartUpload'), 0);
  },
);

test(
  'a cancel that becomes a wait in the middle, because all parts were sent, waits too',
  { timeout: DEADLINE_MS },
  async () => {
    await using bench = await openBench();
    const release = bench.bucket.hold('completeMultipartUpload');
    const { upload } = await bench.uploading();
    const { ledger } = bench.context;
    // Holds the upload's lock, as the handler of `completed` does.
    const cancelling = await ledger.exclusively(upload.uploadId, async () => {
      const outcome = assert.rejects(bench.domain.uploads.cancel(upload.uploadId, 'o'), {
        code: 'upload_finished',
      });
      await bench.settle();
      const sent = uploadedParts([1, 2, 3]).map(({ part_number: partNumber, etag }) => ({
        partNumber,
        etag,
      }));
      const totals = await bench.store.recordUploadedParts(upload.uploadId, sent);
      await ledger.apply(await ledger.get(upload.uploadId), {
        type: 'parts_sent',
        totals,
        sha256: null,
        uploadDurationMs: 1,
      });
      return { outcome };
    });
    bench.context.completion.start(upload.uploadId);
    release();
    await cancelling.outcome;
  },
);

test('a cancel whose caller has gone stops waiting for the finding, and is remembered', async () => {
  await using bench = await openBench();
  bench.bucket.hold('completeMultipartUpload');
  const { upload } = await bench.completing();
  const caller = new AbortController();
  const cancelling = bench.domain.uploads.cancel(upload.uploadId, 'operator-2', { signal: caller.signal });
  await bench.settle();
  caller.abort();
  const answered = await cancelling;
  const record = await bench.upload(upload.uploadId);
  assert.deepEqual(answered, record);
  assert.deepEqual([record.status, record.cancelRequestedBy], ['completing', 'operator-2']);
});

test('a cancel while the store is away is answered within seconds, and the next start of the server carries it out', async () => {
  await using bench = await openBench({ sleep: untilStopped });
  for (const operation of ['completeMultipartUpload', 'head', 'abortMultipartUpload'] as const) {
    bench.bucket.fail(operation, 'unavailable', { times: 1000 });
  }
  const { upload } = await bench.completing();
  await bench.until(async () => (await bench.upload(upload.uploadId)).stalledReason !== null, 'the outage');
  const startedAt = performance.now();
  const pending = await bench.domain.uploads.cancel(upload.uploadId, 'operator-2');
  assert.ok(performance.now() - startedAt < 7000);
  assert.equal(pending.status, 'completing');
  assert.match(pending.message ?? '', /cancel by operator-2 is remembered/);
  assert.match(pending.stalledReason ?? '', /Waiting for the object store/);
  await assert.rejects(bench.domain.uploads.remove(upload.uploadId, 'operator-2', { withObject: false }), {
    code: 'upload_not_finished',
    message: /once it has ended/,
  });
  const { uploadId: next } = await bench.domain.uploads.trigger({
    clientId: 'client-1',
    filePath: upload.filePath,
    requestedBy: 'operator-3',
  });
  assert.notEqual(next, upload.uploadId, 'nobody joins what is to be cancelled');
  await bench.domain.stop();

  bench.bucket.recover();
  const { store, bucket, bus, clock, log } = bench;
  const restarted = createDomain({
    ...{ store, bucket, bus, clock, log },
    settings: bench.context.settings,
    retentionMs: RETENTION_MS,
    orphanAgeMs: HOUR_MS,
    commandTimeoutMs: 30_000,
    observe: () => {},
    sleep: clock.sleep,
  });
  await restarted.sweeper.sweep();
  const record = await bench.reaches(upload.uploadId, 'cancelled');
  assert.equal(record.message, 'Cancelled by operator-2.');
  assert.equal(record.cancelRequestedBy, null);
  assert.deepEqual([bucket.uploads.size, bucket.objects.size], [0, 0]);
  await restarted.stop();
});

test('a cancel that is remembered loses to a Complete whose answer was lost', async () => {
  await using bench = await openBench();
  const release = bench.bucket.hold('completeMultipartUpload');
  bench.bucket.fail('completeMultipartUpload', 'unavailable', { afterEffect: true });
  bench.bucket.fail('head', 'unavailable');
  const { upload } = await bench.completing();
  const refused = assert.rejects(bench.domain.uploads.cancel(upload.uploadId, 'operator-2'), {
    code: 'upload_finished',
    message: /completed/,
  });
  await bench.settle();
  release();
  await refused;
  assert.equal(bench.bucket.faultsFired, 2);
  const record = await bench.upload(upload.uploadId);
  assert.match(record.message ?? '', /came too late/);
  assert.equal(bench.bucket.count('completeMultipartUpload'), 1);
  assert.equal(bench.bucket.objects.get(upload.key)?.token, upload.objectToken);
});

test('a cancel whose deadline comes with the store still away ends cancelled, and what Complete made is removed later', async () => {
  await using bench = await openBench({ settings: { lifetimeMs: 60_000 } });
  const release = bench.bucket.hold('completeMultipartUpload');
  bench.bucket.fail('completeMultipartUpload', 'unavailable', { afterEffect: true });
  bench.bucket.fail('head', 'unavailable', { times: 1000 });
  bench.bucket.fail('abortMultipartUpload', 'unavailable', { times: 1000 });
  const { upload } = await bench.completing();
  const cancelling = bench.domain.uploads.cancel(upload.uploadId, 'operator-2');
  await bench.settle();
  release();
  assert.equal((await cancelling).status, 'cancelled');
  assert.equal(bench.bucket.objects.size, 1);
  bench.bucket.recover();
  await bench.sweep();
  assert.equal(bench.bucket.objects.size, 0);
  assert.equal((await bench.upload(upload.uploadId)).multipartOpen, false);
});

test('a retry waits for a removal under way: it would take the object of the next attempt', async () => {
  await using bench = await openBench({ settings: { lifetimeMs: 60_000 } });
  bench.bucket.fail('completeMultipartUpload', 'unavailable', { afterEffect: true });
  bench.bucket.fail('head', 'unavailable', { times: 1000 });
  bench.bucket.fail('abortMultipartUpload', 'unavailable', { times: 1000 });
  const { upload } = await bench.completing();
  await bench.reaches(upload.uploadId, 'failed');
  bench.bucket.recover();
  const gate = Promise.withResolvers<void>();
  const remove = bench.bucket.deleteObject.bind(bench.bucket);
  let removals = 0;
  bench.bucket.deleteObject = async (key, options) => {
    removals += 1;
    if (removals === 1) await gate.promise;
    await remove(key, options);
  };
  const sweeping = bench.sweep();
  await bench.until(() => removals === 1, 'the removal');
  let isRetried = false;
  const retrying = bench.domain.uploads.retry(upload.uploadId, 'operator-2').then((queued) => {
    isRetried = true;
    return queued;
  });
  await bench.settle();
  const wasRetried = isRetried;
  gate.resolve();
  assert.equal(wasRetried, false);
  assert.equal((await retrying).attempt, 2);
  await sweeping;
  assert.equal(removals, 1);
});

test('a cancel does not wait for a handler that waits for the store', async () => {
  await using bench = await openBench();
  const release = bench.bucket.hold('createMultipartUpload');
  const { agent, upload } = await bench.preparing();
  const handling = prepared(bench.context, agent.session, preparedMessage(upload));
  await bench.until(() => bench.bucket.count('createMultipartUpload') === 1, 'Create');
  const startedAt = performance.now();
  const record = await bench.domain.uploads.cancel(upload.uploadId, 'operator-2');
  assert.equal(record.status, 'cancelled');
  assert.ok(performance.now() - startedAt < 7000);
  release();
  await handling;
  assert.equal((await bench.upload(upload.uploadId)).status, 'cancelled');
  assert.equal(bench.bucket.uploads.size, 0, 'what was created too late is aborted');
});

for (const verb of ['remove', 'retry', 'content', 'verify'] as const) {
  test(
    `${verb} is answered within seconds while the store is silent`,
    { timeout: 20_000 },
    async (context) => {
      await using bench = await openBench();
      const { upload } = await bench.completing();
      await bench.reaches(upload.uploadId, 'completed');
      const failed = await bench.trigger('/data/other.bin');
      await bench.context.ending.end(failed.uploadId, {
        type: 'fail',
        error: 'read_failed',
        message: 'It broke.',
      });
      const touched = await bench.upload(failed.uploadId);
      await bench.store.saveUpload(
        { ...touched, objectToken: 'token-9', version: touched.version + 1 },
        { expectedVersion: touched.version },
      );
      bench.bucket.hold('head');
      context.mock.timers.enable({ apis: ['setTimeout'] });
      const { uploads, verifier } = bench.domain;
      const heads = bench.bucket.count('head');
      const asked = {
        remove: () => uploads.remove(upload.uploadId, 'operator-1', { withObject: true }),
        retry: () => uploads.retry(failed.uploadId, 'operator-1'),
        content: () => uploads.contentUrl(upload.uploadId, 'operator-1'),
        verify: () => verifier.verify(upload.uploadId, 'operator-1'),
      }[verb]();
      const refused = assert.rejects(asked, { code: 'storage_unavailable', message: /within 10 s/ });
      await bench.until(() => bench.bucket.count('head') === heads + 1, 'the question');
      context.mock.timers.tick(10_000);
      await refused;
      assert.equal((await bench.upload(upload.uploadId)).status, 'completed', 'the record is still there');
    },
  );
}

test('a cancel while completing ends an upload that the finding puts back into the queue', async () => {
  await using bench = await openBench();
  const release = bench.bucket.hold('completeMultipartUpload');
  bench.bucket.fail('completeMultipartUpload', 'invalid_parts');
  const { upload } = await bench.completing();
  // A wait that nothing ends must not hold up the run.
  const signal = AbortSignal.timeout(DEADLINE_MS);
  const cancelling = bench.domain.uploads.cancel(upload.uploadId, 'operator-2', { signal });
  await bench.settle();
  release();
  assert.equal((await cancelling).status, 'cancelled');
  assert.equal(bench.bucket.faultsFired, 1);
  await bench.until(() => bench.bucket.aborted.length === 1, 'the abort');
  assert.deepEqual(bench.bucket.aborted, [upload.s3UploadId]);
});

test('a cancel of an interrupted upload aborts what the store holds of it', async () => {
  await using bench = await openBench();
  const queued = await bench.interrupted();
  const record = await bench.domain.uploads.cancel(queued.uploadId, 'operator-2');
  assert.deepEqual([record.status, record.stalledReason, record.nextAttemptAt], ['cancelled', null, null]);
  await bench.until(() => bench.bucket.aborted.length === 1, 'the abort');
  assert.deepEqual(bench.bucket.aborted, [queued.s3UploadId]);
  assert.deepEqual(await bench.store.listParts(queued.uploadId), []);
  const agent = await bench.connect();
  await bench.settle();
  assert.deepEqual(agent.connection.sent('prepare_upload'), []);
});

test('an interrupted upload has not ended: it can neither be retried nor removed', async () => {
  await using bench = await openBench();
  const queued = await bench.interrupted();
  const { uploads } = bench.domain;
  await assert.rejects(uploads.retry(queued.uploadId, 'o'), { code: 'upload_not_retryable' });
  await assert.rejects(uploads.remove(queued.uploadId, 'o', { withObject: true }), {
    code: 'upload_not_finished',
  });
  assert.deepEqual(await bench.upload(queued.uploadId), queued);
  assert.equal(bench.bucket.count('abortMultipartUpload'), 0);
});

test('a retry of what was cancelled in the queue begins with nothing, and with every chance again', async () => {
  await using bench = await openBench();
  const queued = await bench.interrupted();
  bench.bucket.fail('abortMultipartUpload', 'unavailable');
  await bench.domain.uploads.cancel(queued.uploadId, 'operator-2');
  await bench.until(() => bench.bucket.faultsFired === 1, 'the abort that fails');
  const retried = await bench.domain.uploads.retry(queued.uploadId, 'operator-1');
  assert.deepEqual(
    [retried.status, retried.attempt, retried.s3UploadId, retried.setbacks, retried.stalledSince],
    ['queued', 3, null, 0, null],
  );
  assert.deepEqual(bench.bucket.aborted, [queued.s3UploadId]);
  const { connection } = await bench.connect();
  await bench.reaches(queued.uploadId, 'preparing');
  assert.equal(connection.sent('prepare_upload')[0]?.resume, undefined);
});

/** An upload that has ended, and an orphan of an earlier attempt that no sweep has found yet. */
async function endedWithOrphan(bench: DomainBench): Promise<string> {
  const { upload } = await bench.uploading();
  bench.bucket.fail('abortMultipartUpload', 'unavailable');
  await bench.context.recovery.settle(upload, { error: 'upload_gone', message: 'Gone.' });
  await bench.until(() => bench.bucket.faultsFired === 1, 'the abort that fails');
  await bench.domain.uploads.cancel(upload.uploadId, 'operator-1');
  return upload.uploadId;
}

test('a removal takes along what an earlier attempt left, for no sweep knows it without the row', async () => {
  await using bench = await openBench();
  const uploadId = await endedWithOrphan(bench);
  const { key } = await bench.upload(uploadId);
  const longer = { key: `${key}.bak`, token: 't', checksumMode: 'crc32' } as const;
  const stranger = await bench.bucket.createMultipartUpload(longer);
  bench.bucket.fail('listMultipartUploads', 'unavailable');
  const remove = () => bench.domain.uploads.remove(uploadId, 'operator-1', { withObject: false });
  await assert.rejects(remove(), /listMultipartUploads/);
  assert.notEqual(await bench.store.getUpload(uploadId), undefined);
  await remove();
  assert.deepEqual([...bench.bucket.uploads.keys()], [stranger.s3UploadId]);
});

test('nor does a removal leave what a first attempt had created when the server was killed', async () => {
  await using bench = await openBench();
  const { upload } = await bench.preparing();
  await bench.bucket.createMultipartUpload({ key: upload.key, token: 't', checksumMode: 'crc32' });
  await bench.domain.uploads.cancel(upload.uploadId, 'operator-1');
  await bench.domain.uploads.remove(upload.uploadId, 'operator-1', { withObject: false });
  assert.equal(bench.bucket.uploads.size, 0);
});

test('to remove an upload that no agent was asked for, the bucket is not asked', async () => {
  await using bench = await openBench();
  await bench.connect('client-1', { maxUploads: 1 });
  await bench.trigger('/data/first');
  const { uploadId } = await bench.trigger('/data/second');
  await bench.settle();
  await bench.domain.uploads.cancel(uploadId, 'operator-1');
  await bench.domain.uploads.remove(uploadId, 'operator-1', { withObject: false });
  assert.equal(bench.bucket.count('listMultipartUploads'), 0);
});

test('a policy that does not allow to look for orphans does not keep an upload from being removed', async () => {
  await using bench = await openBench();
  const uploadId = await endedWithOrphan(bench);
  bench.bucket.fail('listMultipartUploads', 'refused');
  await bench.domain.uploads.remove(uploadId, 'operator-1', { withObject: false });
  assert.equal(bench.bucket.faultsFired, 2);
  assert.equal(await bench.store.getUpload(uploadId), undefined);
});

test('a retry is a new attempt, with a new token and a new deadline', async () => {
  await using bench = await openBench();
  const { agent, upload } = await bench.uploading();
  await failed(bench.context, agent.session, failedMessage(upload, 'file_changed'));
  bench.clock.advance(HOUR_MS);
  const queued = await bench.domain.uploads.retry(upload.uploadId, 'operator-1');
  assert.equal(queued.status, 'queued');
  assert.equal(queued.attempt, 2);
  assert.equal(queued.expiresAt, bench.clock.now() + 24 * HOUR_MS);
  const record = await bench.reaches(upload.uploadId, 'preparing');
  assert.notEqual(record.objectToken, upload.objectToken);
  await prepared(bench.context, agent.session, preparedMessage(record));
  await bench.reaches(upload.uploadId, 'uploading');
});

test('a retry of anything that runs or has completed is refused, and touches nothing', async () => {
  await using bench = await openBench();
  const { agent, upload } = await bench.uploading();
  const refusal = { code: 'upload_not_retryable' };
  await assert.rejects(bench.domain.uploads.retry(upload.uploadId, 'operator-1'), refusal);
  assert.equal(bench.bucket.count('abortMultipartUpload'), 0);
  await endSession(bench.context, agent.session);

  const done = await openBench();
  await using second = done;
  const completing = await second.completing();
  await second.reaches(completing.upload.uploadId, 'completed');
  await assert.rejects(second.domain.uploads.retry(completing.upload.uploadId, 'operator-1'), refusal);
  assert.equal(second.bucket.objects.size, 1);
});

test('a retry is refused while the old parts cannot be removed: no row would refer to them any more', async () => {
  await using bench = await openBench();
  const { agent, upload } = await bench.uploading();
  bench.bucket.fail('abortMultipartUpload', 'unavailable', { times: 2 });
  await failed(bench.context, agent.session, failedMessage(upload, 'file_changed'));
  await assert.rejects(bench.domain.uploads.retry(upload.uploadId, 'operator-1'), {
    code: 'storage_unavailable',
  });
  assert.equal((await bench.upload(upload.uploadId)).multipartOpen, true);
  await bench.domain.uploads.retry(upload.uploadId, 'operator-1');
  assert.deepEqual(bench.bucket.aborted, [upload.s3UploadId]);
});

test('a retry removes an object that was completed but never verified, so that it can complete itself', async () => {
  await using bench = await openBench({ settings: { lifetimeMs: 60_000 } });
  // Complete takes effect, but the store is away from then on.
  bench.bucket.fail('completeMultipartUpload', 'unavailable', { afterEffect: true });
  bench.bucket.fail('head', 'unavailable', { times: 2000 });
  const { upload } = await bench.completing();
  await bench.reaches(upload.uploadId, 'failed');
  assert.equal(bench.bucket.objects.size, 1);
  await assert.rejects(bench.domain.uploads.retry(upload.uploadId, 'operator-1'), {
    code: 'storage_unavailable',
  });
  assert.equal((await bench.upload(upload.uploadId)).status, 'failed');
  bench.bucket.recover();
  await bench.domain.uploads.retry(upload.uploadId, 'operator-1');
  assert.equal(bench.bucket.objects.size, 0);
});

test('a retry leaves somebody else’s object at the key alone', async () => {
  await using bench = await openBench();
  const { agent, upload } = await bench.uploading();
  await failed(bench.context, agent.session, failedMessage(upload, 'file_changed'));
  const foreign = {
    sizeBytes: 1,
    etag: '"foreign"',
    versionId: null,
    token: 'not ours',
    crc32: null,
    serverSideEncryption: null,
    storageClass: null,
  };
  bench.bucket.objects.set(upload.key, foreign);
  await bench.domain.uploads.retry(upload.uploadId, 'operator-1');
  assert.equal(bench.bucket.objects.get(upload.key), foreign);
});

test('an upload that has not ended cannot be removed', async () => {
  await using bench = await openBench();
  const { upload } = await bench.uploading();
  await assert.rejects(bench.domain.uploads.remove(upload.uploadId, 'operator-1', { withObject: true }), {
    code: 'upload_not_finished',
  });
  assert.equal((await bench.upload(upload.uploadId)).status, 'uploading');
});

test('an upload is removed with its object only if that is asked for', async () => {
  for (const withObject of [true, false]) {
    await using bench = await openBench();
    const { upload } = await bench.completing();
    await bench.reaches(upload.uploadId, 'completed');
    await bench.domain.uploads.remove(upload.uploadId, 'operator-1', { withObject });
    assert.equal(await bench.store.getUpload(upload.uploadId), undefined);
    assert.equal(bench.bucket.objects.has(upload.key), !withObject);
  }
});

test('an object without any token at the key is not passed off as removed', async () => {
  await using bench = await openBench();
  const { upload } = await bench.completing();
  await bench.reaches(upload.uploadId, 'completed');
  const own = bench.bucket.objects.get(upload.key);
  assert.ok(own !== undefined);
  bench.bucket.objects.set(upload.key, { ...own, token: null });
  await assert.rejects(bench.domain.uploads.remove(upload.uploadId, 'operator-1', { withObject: true }), {
    code: 'storage_refused',
    message: /without this upload's token, so it was not removed/,
  });
  assert.ok(bench.bucket.objects.has(upload.key));
  await bench.domain.uploads.remove(upload.uploadId, 'operator-1', { withObject: false });
  assert.equal(await bench.store.getUpload(upload.uploadId), undefined);
});

test('an object that is no longer the upload’s own stays when the upload is removed', async () => {
  await using bench = await openBench();
  const { upload } = await bench.completing();
  await bench.reaches(upload.uploadId, 'completed');
  const own = bench.bucket.objects.get(upload.key);
  assert.ok(own !== undefined);
  bench.bucket.objects.set(upload.key, { ...own, token: 'not ours' });
  await bench.domain.uploads.remove(upload.uploadId, 'operator-1', { withObject: true });
  assert.ok(bench.bucket.objects.has(upload.key));
});

test('an upload whose parts cannot be removed yet stays, so that they are not forgotten', async () => {
  await using bench = await openBench();
  const { upload } = await bench.uploading();
  bench.bucket.fail('abortMultipartUpload', 'unavailable', { times: 2 });
  await bench.domain.uploads.cancel(upload.uploadId, 'operator-1');
  const remove = () => bench.domain.uploads.remove(upload.uploadId, 'operator-1', { withObject: false });
  await assert.rejects(remove(), { code: 'storage_unavailable' });
  assert.equal((await bench.upload(upload.uploadId)).multipartOpen, true);
  await remove();
  assert.equal(bench.bucket.uploads.size, 0);
});

test('content is there only for completed uploads whose object is still their own', async () => {
  await using bench = await openBench();
  const { upload } = await bench.completing();
  const url = bench.domain.uploads.contentUrl.bind(bench.domain.uploads);
  await bench.reaches(upload.uploadId, 'completed');
  assert.equal(await url(upload.uploadId, 'operator-1'), `https://store.test/${upload.key}?get`);

  const own = bench.bucket.objects.get(upload.key);
  assert.ok(own !== undefined);
  bench.bucket.objects.set(upload.key, { ...own, token: 'not ours' });
  await assert.rejects(url(upload.uploadId, 'operator-1'), { code: 'object_not_found' });
  bench.bucket.objects.clear();
  await assert.rejects(url(upload.uploadId, 'operator-1'), { code: 'object_not_found' });

  const other = await bench.trigger();
  await assert.rejects(url(other.uploadId, 'operator-1'), { code: 'upload_not_completed' });
});

test('what operators do is on record, with who did it', async () => {
  const { bench: opened, audits } = await auditedBench();
  await using bench = opened;
  const { upload } = await bench.uploading();
  const { uploads } = bench.domain;
  await uploads.cancel(upload.uploadId, 'operator-2');
  await uploads.retry(upload.uploadId, 'operator-3');
  await bench.settle();
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

test('a refused verb leaves no audit event', async () => {
  const { bench: opened, audits } = await auditedBench();
  await using bench = opened;
  const { upload } = await bench.uploading();
  const before = audits.length;
  await assert.rejects(bench.domain.uploads.retry(upload.uploadId, 'operator-2'));
  await assert.rejects(bench.domain.uploads.remove(upload.uploadId, 'operator-2', { withObject: true }));
  await bench.domain.uploads.trigger({
    clientId: 'client-1',
    filePath: '/x',
    requestedBy: 'o',
    idempotencyKey: 'k',
  });
  await bench.domain.uploads.trigger({
    clientId: 'client-1',
    filePath: '/x',
    requestedBy: 'o',
    idempotencyKey: 'k',
  });
  assert.equal(audits.length, before + 1, 'the one new trigger');
});

test('a wait ends with the upload, by the hint', { timeout: DEADLINE_MS }, async () => {
  await using bench = await openBench();
  const { upload } = await bench.uploading();
  const waiting = bench.domain.uploads.waitUntilEnded(upload.uploadId);
  await bench.until(() => bench.bus.subscriptions === 1, 'the subscription');
  await bench.domain.uploads.cancel(upload.uploadId, 'operator-1');
  assert.equal((await waiting).status, 'cancelled');
  assert.equal(bench.bus.subscriptions, 0);
});

test('a wait ends with the upload although every hint gets lost', async () => {
  await using bench = await openBench({ pollMs: 10 });
  bench.bus.isDeaf = true;
  const { upload } = await bench.uploading();
  const signal = AbortSignal.timeout(DEADLINE_MS);
  const waiting = bench.domain.uploads.waitUntilEnded(upload.uploadId, { signal });
  await bench.settle();
  await bench.domain.uploads.cancel(upload.uploadId, 'operator-1');
  assert.equal((await waiting).status, 'cancelled');
  assert.equal(signal.aborted, false, 'it was called off, and would have waited for ever');
});

test('a hint that comes while the row is being read is not missed', { timeout: DEADLINE_MS }, async () => {
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
  await using bench = new DomainBench(store);
  const { upload } = await bench.uploading();
  slow.once = async () => {
    await bench.domain.uploads.cancel(upload.uploadId, 'operator-1');
  };
  assert.equal((await bench.domain.uploads.waitUntilEnded(upload.uploadId)).status, 'cancelled');
});

test('a wait that is called off gives the upload as it is', { timeout: DEADLINE_MS }, async () => {
  await using bench = await openBench();
  const { upload } = await bench.uploading();
  const caller = new AbortController();
  const waiting = bench.domain.uploads.waitUntilEnded(upload.uploadId, { signal: caller.signal });
  await bench.settle();
  caller.abort();
  assert.equal((await waiting).status, 'uploading');
  const again = bench.domain.uploads.waitUntilEnded(upload.uploadId, { signal: caller.signal });
  assert.equal((await again).status, 'uploading');
  assert.equal(bench.bus.subscriptions, 0);
});

test(
  'a wait for an upload that is removed meanwhile ends as upload_not_found',
  { timeout: DEADLINE_MS },
  async () => {
    await using bench = await openBench({ pollMs: 10 });
    const { upload } = await bench.uploading();
    bench.bus.isDeaf = true;
    const real = bench.domain.uploads;
    const waiting = assert.rejects(real.waitUntilEnded(upload.uploadId), { code: 'upload_not_found' });
    await bench.settle();
    await bench.store.deleteUpload(upload.uploadId, {
      at: 0,
      actor: 'o',
      action: 'upload.delete',
      clientId: null,
      uploadId: null,
      detail: {},
    });
    await waiting;
  },
);
