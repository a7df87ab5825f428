import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openSqliteStore } from '../../store/open-sqlite-store.ts';
import { failed } from '../agents/handlers/endings.ts';
import { prepared } from '../agents/handlers/prepared.ts';
import {
  DomainFixture,
  type FixtureOptions,
  RETENTION_MS,
} from '../../../../../test/harness/server/domain-fixture.ts';
import { failedMessage, preparedMessage } from '../../../../../test/doubles/fake-agent.ts';
import { intercepted } from '../../../../../test/doubles/intercepted.ts';
import {
  sampleAudit,
  sampleUpload,
  sampleUploadIn,
} from '../../../../../test/harness/server/sample-upload.ts';
import { type Store, StoreError } from '../ports/store.ts';
import { endSession } from '../agents/handlers/hello.ts';

const HOUR_MS = 3_600_000;

async function openFixture(options: FixtureOptions = {}): Promise<DomainFixture> {
  return new DomainFixture(await openSqliteStore(':memory:'), options);
}

test('an upload that no agent took before its deadline expires', async () => {
  await using fixture = await openFixture();
  const agent = await fixture.connect();
  await endSession(fixture.context, agent.session);
  const { uploadId, expiresAt } = await fixture.trigger();
  fixture.clock.advance(expiresAt - fixture.clock.now() - 1);
  await fixture.sweep();
  assert.equal((await fixture.upload(uploadId)).status, 'queued', 'not a millisecond early');
  fixture.clock.advance(1);
  await fixture.sweep();
  const record = await fixture.upload(uploadId);
  assert.equal(record.status, 'expired');
  assert.equal(record.error, 'upload_expired');
});

test('a transfer at its deadline expires: the agent is notified and the multipart upload aborted', async () => {
  await using fixture = await openFixture();
  const { agent, upload } = await fixture.uploading();
  fixture.clock.advance(24 * HOUR_MS);
  await fixture.sweep();
  assert.equal((await fixture.upload(upload.uploadId)).status, 'expired');
  assert.equal(agent.connection.sent('cancel_upload').length, 1);
  assert.deepEqual(fixture.bucket.aborted, [upload.s3UploadId]);
});

test('a failed abort is retried in every round until it succeeds', async () => {
  await using fixture = await openFixture();
  const { agent, upload } = await fixture.uploading();
  fixture.bucket.fail('abortMultipartUpload', 'unavailable', { times: 3 });
  await failed(fixture.context, agent.session, failedMessage(upload, 'permission_denied'));
  for (let round = 1; round <= 2; round += 1) {
    await fixture.sweep();
    assert.equal((await fixture.upload(upload.uploadId)).multipartOpen, true);
  }
  await fixture.sweep();
  assert.equal((await fixture.upload(upload.uploadId)).multipartOpen, false);
  assert.equal(fixture.bucket.uploads.size, 0);
  await fixture.sweep();
  assert.equal(fixture.bucket.count('abortMultipartUpload'), 4, 'and no more');
});

test('an agent that does not respond to prepare_upload in time fails the upload', async () => {
  await using fixture = await openFixture({ settings: { prepareTimeoutMs: 60_000 } });
  const { agent, upload } = await fixture.preparing();
  fixture.clock.advance(60_000);
  await fixture.sweep();
  assert.equal((await fixture.upload(upload.uploadId)).status, 'preparing');
  fixture.clock.advance(1);
  await fixture.sweep();
  const record = await fixture.upload(upload.uploadId);
  assert.equal(record.status, 'failed');
  assert.equal(record.error, 'agent_fault');
  assert.match(record.message ?? '', /60 s/);
  assert.equal(agent.connection.sent('cancel_upload').length, 1);
});

test('a disconnected agent is exempt from that time limit', async () => {
  await using fixture = await openFixture({ settings: { prepareTimeoutMs: 60_000 } });
  const { agent, upload } = await fixture.preparing();
  await endSession(fixture.context, agent.session);
  fixture.clock.advance(HOUR_MS);
  await fixture.sweep();
  assert.equal((await fixture.upload(upload.uploadId)).status, 'preparing');
});

test('an upload prepared during the sweep is not failed', async () => {
  const real = await openSqliteStore(':memory:');
  let meanwhile = async (): Promise<void> => {};
  const store = intercepted<Store>(real, {
    listUnansweredIds: async (asked, limit) => {
      const found = await real.listUnansweredIds(asked, limit);
      if (found.length > 0) await meanwhile();
      return found;
    },
  });
  await using fixture = new DomainFixture(store, { settings: { prepareTimeoutMs: 60_000 } });
  const { agent, upload } = await fixture.preparing();
  let checked = false;
  meanwhile = async () => {
    checked = true;
    await prepared(fixture.context, agent.session, preparedMessage(upload));
  };
  fixture.clock.advance(60_001);
  await fixture.sweep();
  assert.ok(checked);
  assert.equal((await fixture.upload(upload.uploadId)).status, 'uploading');
});

test('an upload retried during the sweep does not expire', async () => {
  const real = await openSqliteStore(':memory:');
  let meanwhile = async (): Promise<void> => {};
  const store = intercepted<Store>(real, {
    listOverdueIds: async (now, limit) => {
      const found = await real.listOverdueIds(now, limit);
      if (found.length > 0) await meanwhile();
      return found;
    },
  });
  await using fixture = new DomainFixture(store);
  const agent = await fixture.connect();
  await endSession(fixture.context, agent.session);
  const { uploadId } = await fixture.trigger();
  let checked = false;
  meanwhile = async () => {
    checked = true;
    await fixture.domain.uploads.cancel(uploadId, 'operator-1');
    await fixture.domain.uploads.retry(uploadId, 'operator-1');
  };
  fixture.clock.advance(24 * HOUR_MS);
  await fixture.sweep();
  assert.ok(checked);
  assert.equal((await fixture.upload(uploadId)).status, 'queued');
});

test('an upload completing when the server stopped is finished by the first round of the next start', async () => {
  await using fixture = await openFixture();
  const running = sampleUploadIn('completing');
  await fixture.store.insertUpload(running, sampleAudit());
  fixture.bucket.objects.set(running.key, {
    sizeBytes: 12_582_912,
    etag: '"object-3"',
    versionId: null,
    token: running.objectToken,
    crc32: null,
    serverSideEncryption: null,
    storageClass: null,
  });
  await fixture.store.announceParts(
    running.uploadId,
    [5_242_880, 5_242_880, 2_097_152].map((sizeBytes, index) => ({
      partNumber: index + 1,
      sizeBytes,
      crc32: 'AAAAAA==',
      sha256: null,
      md5: null,
    })),
  );
  await fixture.store.recordUploadedParts(
    running.uploadId,
    [1, 2, 3].map((partNumber) => ({ partNumber, etag: `"${partNumber}"` })),
  );
  await fixture.sweep();
  const record = await fixture.reaches(running.uploadId, 'completed');
  assert.equal(record.etag, '"object-3"');
});

test('a completing upload is never expired or aborted, however late it is', async () => {
  await using fixture = await openFixture();
  const release = fixture.bucket.hold('completeMultipartUpload');
  const { upload } = await fixture.completing();
  fixture.clock.advance(20 * 24 * HOUR_MS);
  for (let round = 0; round < 3; round += 1) await fixture.sweep();
  assert.equal((await fixture.upload(upload.uploadId)).status, 'completing');
  assert.equal(fixture.bucket.count('abortMultipartUpload'), 0);
  assert.equal(fixture.bucket.count('completeMultipartUpload'), 1, 'nor is it started twice');
  release();
  await fixture.reaches(upload.uploadId, 'completed');
  fixture.clock.advance(2 * HOUR_MS);
  await fixture.sweep();
  assert.equal(fixture.bucket.count('abortMultipartUpload'), 0);
  assert.equal(fixture.bucket.objects.size, 1);
});

test('queued uploads are dispatched even if every scheduled call was missed', async () => {
  await using fixture = await openFixture();
  const { connection } = await fixture.connect();
  // The run scheduled at hello must not find it.
  await fixture.idle();
  const upload = sampleUpload();
  await fixture.store.insertUpload(upload, sampleAudit());
  await fixture.sweep();
  await fixture.reaches(upload.uploadId, 'preparing');
  assert.equal(connection.sent('prepare_upload').length, 1);
});

test('ended uploads are removed after the retention time', async () => {
  await using fixture = await openFixture();
  const { agent, upload } = await fixture.uploading();
  await failed(fixture.context, agent.session, failedMessage(upload, 'permission_denied'));
  fixture.clock.advance(RETENTION_MS);
  await fixture.sweep();
  assert.notEqual(await fixture.store.getUpload(upload.uploadId), undefined);
  fixture.clock.advance(HOUR_MS - 1);
  await fixture.sweep();
  assert.notEqual(await fixture.store.getUpload(upload.uploadId), undefined, 'checked once an hour');
  fixture.clock.advance(1);
  await fixture.sweep();
  assert.equal(await fixture.store.getUpload(upload.uploadId), undefined);
});

const steps: Partial<Record<keyof Store, string>> = {
  listCompletingIds: 'resume',
  listUnansweredIds: 'unanswered',
  listOverdueIds: 'expire',
  listUploadsWithOpenMultipart: 'abort',
  removeOlderThan: 'retain',
};

for (const [method, step] of Object.entries(steps)) {
  test(`a failing ${step} step does not stop the others, and the round does not reject`, async () => {
    const real = await openSqliteStore(':memory:');
    const asked: string[] = [];
    const watched = Object.fromEntries(
      Object.keys(steps).map((name) => [
        name,
        (...parameters: unknown[]) => {
          asked.push(name);
          if (name === method) return Promise.reject(new StoreError('the disk is full'));
          const original = Reflect.get(real, name) as (...parameters: unknown[]) => unknown;
          return original.apply(real, parameters);
        },
      ]),
    );
    await using fixture = new DomainFixture(intercepted<Store>(real, watched));
    await fixture.sweep();
    assert.deepEqual(asked.sort(), Object.keys(steps).sort());
    const entry = fixture.log.entries.find(({ level }) => level === 'error');
    assert.ok(entry !== undefined && 'step' in entry.data);
    assert.equal(entry.data.step, step);
  });
}

test('a running round is joined, and idle waits for it', async () => {
  const real = await openSqliteStore(':memory:');
  const gate = Promise.withResolvers<void>();
  const state = { rounds: 0, ended: false };
  const store = intercepted<Store>(real, {
    listCompletingIds: async () => {
      state.rounds += 1;
      await gate.promise;
      state.ended = true;
      return real.listCompletingIds();
    },
  });
  await using fixture = new DomainFixture(store);
  const { sweeper } = fixture.domain;
  const rounds = [sweeper.sweep(), sweeper.sweep()];
  await fixture.until(() => state.rounds === 1, 'the round');
  const idle = sweeper.idle().then(() => state.ended);
  gate.resolve();
  await Promise.all(rounds);
  assert.equal(await idle, true);
  assert.equal(state.rounds, 1);
  await sweeper.sweep();
  assert.equal(state.rounds, 2);
});

/** A multipart upload in the bucket, as an interrupted Create leaves it. */
async function leftBehind(fixture: DomainFixture, key: string): Promise<string> {
  const { s3UploadId } = await fixture.bucket.createMultipartUpload({
    key,
    token: 't',
    checksumMode: 'crc32',
  });
  return s3UploadId;
}

test('our multipart uploads without a row are aborted once they are old enough', async () => {
  await using fixture = await openFixture();
  const { upload } = await fixture.uploading();
  const orphan = await leftBehind(fixture, upload.key);
  const strangers = [
    await leftBehind(fixture, 'uploads/other-software/file'),
    await leftBehind(fixture, sampleUpload().key),
    await leftBehind(fixture, `elsewhere/client-1/${upload.uploadId}/report.bin`),
  ];
  await fixture.sweep();
  assert.equal(fixture.bucket.count('listMultipartUploads'), 1, 'listed at the start');
  fixture.clock.advance(HOUR_MS - 1);
  await fixture.sweep();
  assert.equal(fixture.bucket.count('listMultipartUploads'), 1, 'a listing costs requests');
  assert.deepEqual(fixture.bucket.aborted, []);
  fixture.clock.advance(1);
  await fixture.sweep();
  assert.deepEqual(fixture.bucket.aborted, [orphan]);
  assert.ok(fixture.bucket.uploads.has(upload.s3UploadId ?? ''), 'the running one stays');
  for (const stranger of strangers) assert.ok(fixture.bucket.uploads.has(stranger));
  await fixture.sweep();
  assert.equal(fixture.bucket.count('listMultipartUploads'), 2);
});

test('a multipart upload that was just created is not an orphan', async () => {
  await using fixture = await openFixture();
  const { upload } = await fixture.uploading();
  fixture.clock.advance(HOUR_MS);
  const young = await leftBehind(fixture, upload.key);
  fixture.clock.advance(HOUR_MS - 1);
  await fixture.sweep();
  assert.equal(fixture.bucket.count('listMultipartUploads'), 1);
  assert.ok(fixture.bucket.uploads.has(young));
});

test('store trials left by a killed server are aborted after an hour, even if orphans are aborted earlier', async () => {
  await using fixture = await openFixture({ orphanAgeMs: 1000 });
  const elsewhere = await leftBehind(fixture, 'elsewhere/.backhaul-probe/some/part');
  const trial = await leftBehind(fixture, 'uploads/.backhaul-probe/some/part');
  fixture.clock.advance(HOUR_MS - 1);
  await fixture.sweep();
  assert.deepEqual(fixture.bucket.aborted, [], 'another server may be running it');
  fixture.clock.advance(1000);
  await fixture.sweep();
  assert.deepEqual(fixture.bucket.aborted, [trial]);
  assert.ok(fixture.bucket.uploads.has(elsewhere));
});

test('a multipart upload revived by parts in flight is aborted again', async () => {
  await using fixture = await openFixture();
  const { agent, upload } = await fixture.uploading();
  const survivor = fixture.bucket.uploads.get(upload.s3UploadId ?? '');
  assert.ok(survivor !== undefined);
  await failed(fixture.context, agent.session, failedMessage(upload, 'permission_denied'));
  fixture.bucket.uploads.set(survivor.s3UploadId, survivor);
  fixture.clock.advance(HOUR_MS);
  await fixture.sweep();
  assert.equal(fixture.bucket.uploads.size, 0);
});

test('an orphan that cannot be aborted does not stop the abort of others', async () => {
  await using fixture = await openFixture();
  const { upload } = await fixture.uploading();
  await leftBehind(fixture, upload.key);
  const second = await leftBehind(fixture, upload.key);
  fixture.bucket.fail('abortMultipartUpload', 'refused');
  fixture.clock.advance(HOUR_MS);
  await fixture.sweep();
  assert.deepEqual(fixture.bucket.aborted, [second]);
});

test('a hanging store delays neither the sweeper nor the end of an upload, and a stop aborts the call', async () => {
  await using fixture = await openFixture();
  const { agent, upload } = await fixture.uploading();
  fixture.bucket.hold('abortMultipartUpload');
  await failed(fixture.context, agent.session, failedMessage(upload, 'permission_denied'));
  assert.equal((await fixture.upload(upload.uploadId)).status, 'failed');
  await endSession(fixture.context, agent.session);
  const late = await fixture.trigger('/data/late');
  await fixture.store.insertUpload(sampleUploadIn('failed'), sampleAudit());
  await fixture.domain.sweeper.sweep();
  await fixture.until(() => fixture.bucket.count('abortMultipartUpload') === 2, 'the sweeper’s abort');
  fixture.clock.advance(24 * HOUR_MS);
  await fixture.domain.sweeper.sweep();
  assert.equal((await fixture.upload(late.uploadId)).status, 'expired');
  assert.equal(fixture.bucket.count('abortMultipartUpload'), 2, 'one at a time for each upload');
  await fixture.domain.stop();
  assert.equal((await fixture.upload(upload.uploadId)).multipartOpen, true, 'left to the next start');
});

test('the first abort that finds the store unavailable is the last of its round', async () => {
  await using fixture = await openFixture();
  for (let count = 0; count < 12; count += 1) {
    await fixture.store.insertUpload(sampleUploadIn('failed'), sampleAudit());
  }
  fixture.bucket.fail('abortMultipartUpload', 'unavailable');
  await fixture.sweep();
  assert.equal(fixture.bucket.count('abortMultipartUpload'), 4);
  await fixture.sweep();
  assert.equal(fixture.bucket.count('abortMultipartUpload'), 4 + 9);
});

test('a refused abort does not stop the others', async () => {
  await using fixture = await openFixture();
  for (let count = 0; count < 6; count += 1) {
    await fixture.store.insertUpload(sampleUploadIn('failed'), sampleAudit());
  }
  fixture.bucket.fail('abortMultipartUpload', 'refused');
  await fixture.sweep();
  assert.equal(fixture.bucket.aborted.length, 5);
});

test('records beyond retention are removed in batches until none is left', async () => {
  const real = await openSqliteStore(':memory:');
  const limits: number[] = [];
  const store = intercepted<Store>(real, {
    removeOlderThan: async (before, limit) => {
      limits.push(limit);
      return real.removeOlderThan(before, 2);
    },
  });
  await using fixture = new DomainFixture(store);
  for (let count = 0; count < 5; count += 1) {
    await fixture.store.insertUpload({ ...sampleUploadIn('failed'), multipartOpen: false }, sampleAudit());
  }
  fixture.clock.advance(RETENTION_MS + HOUR_MS);
  await fixture.sweep();
  assert.deepEqual(await fixture.store.listUploads({ limit: 10 }), []);
  assert.equal(limits.length, 4);
  assert.ok(limits.every((limit) => limit === 500));
});

test('an upload removed during the sweep does not stop the others from ending', async () => {
  const real = await openSqliteStore(':memory:');
  let removed = 0;
  const store = intercepted<Store>(real, {
    listOverdueIds: async (now, limit) => {
      const ids = await real.listOverdueIds(now, limit);
      for (const uploadId of ids.slice(0, 1)) {
        removed += 1;
        await real.deleteUpload(uploadId, sampleAudit({ uploadId }));
      }
      return ids;
    },
  });
  await using fixture = new DomainFixture(store);
  const uploads = [sampleUpload(), sampleUpload()];
  for (const upload of uploads) await real.insertUpload(upload, sampleAudit());
  fixture.clock.advance(365 * 24 * HOUR_MS);
  await fixture.sweep();
  assert.equal(removed, 1);
  const left = await Promise.all(uploads.map(({ uploadId }) => real.getUpload(uploadId)));
  assert.deepEqual(
    left.flatMap((upload) => upload?.status ?? []),
    ['expired'],
  );
});
