import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openSqliteStore } from '../../store/open-sqlite-store.ts';
import { type BenchOptions, DomainBench, RETENTION_MS } from '../fakes/domain-bench.ts';
import { failedMessage, preparedMessage } from '../fakes/fake-agent.ts';
import { intercepted } from '../fakes/intercepted.ts';
import { sampleAudit, sampleUpload, sampleUploadIn } from '../fakes/sample-upload.ts';
import { failed } from '../agent-messages/failed.ts';
import { prepared } from '../agent-messages/prepared.ts';
import { type Store, StoreError } from '../ports/store.ts';
import { endSession } from '../sessions/end-session.ts';

const HOUR_MS = 3_600_000;

async function openBench(options: BenchOptions = {}): Promise<DomainBench> {
  return new DomainBench(await openSqliteStore(':memory:'), options);
}

test('an upload that nobody took until its deadline expires', async () => {
  await using bench = await openBench();
  const agent = await bench.connect();
  await endSession(bench.context, agent.session);
  const { uploadId, expiresAt } = await bench.trigger();
  bench.clock.advance(expiresAt - bench.clock.now() - 1);
  await bench.sweep();
  assert.equal((await bench.upload(uploadId)).status, 'queued', 'not a millisecond early');
  bench.clock.advance(1);
  await bench.sweep();
  const record = await bench.upload(uploadId);
  assert.equal(record.status, 'expired');
  assert.equal(record.error, 'upload_expired');
});

test('a transfer at its deadline expires: the agent is told, the multipart upload aborted', async () => {
  await using bench = await openBench();
  const { agent, upload } = await bench.uploading();
  bench.clock.advance(24 * HOUR_MS);
  await bench.sweep();
  assert.equal((await bench.upload(upload.uploadId)).status, 'expired');
  assert.equal(agent.connection.sent('cancel_upload').length, 1);
  assert.deepEqual(bench.bucket.aborted, [upload.s3UploadId]);
});

test('an abort that failed is repeated in every round until it works', async () => {
  await using bench = await openBench();
  const { agent, upload } = await bench.uploading();
  bench.bucket.fail('abortMultipartUpload', 'unavailable', { times: 3 });
  await failed(bench.context, agent.session, failedMessage(upload, 'permission_denied'));
  for (let round = 1; round <= 2; round += 1) {
    await bench.sweep();
    assert.equal((await bench.upload(upload.uploadId)).multipartOpen, true);
  }
  await bench.sweep();
  assert.equal((await bench.upload(upload.uploadId)).multipartOpen, false);
  assert.equal(bench.bucket.uploads.size, 0);
  await bench.sweep();
  assert.equal(bench.bucket.count('abortMultipartUpload'), 4, 'and no further');
});

test('an agent that does not answer prepare_upload in time fails the upload', async () => {
  await using bench = await openBench({ settings: { prepareTimeoutMs: 60_000 } });
  const { agent, upload } = await bench.preparing();
  bench.clock.advance(60_000);
  await bench.sweep();
  assert.equal((await bench.upload(upload.uploadId)).status, 'preparing');
  bench.clock.advance(1);
  await bench.sweep();
  const record = await bench.upload(upload.uploadId);
  assert.equal(record.status, 'failed');
  assert.equal(record.error, 'agent_fault');
  assert.match(record.message ?? '', /60 s/);
  assert.equal(agent.connection.sent('cancel_upload').length, 1);
});

test('an agent that is away is not held to that time', async () => {
  await using bench = await openBench({ settings: { prepareTimeoutMs: 60_000 } });
  const { agent, upload } = await bench.preparing();
  await endSession(bench.context, agent.session);
  bench.clock.advance(HOUR_MS);
  await bench.sweep();
  assert.equal((await bench.upload(upload.uploadId)).status, 'preparing');
});

test('an upload that is prepared while the sweeper looks is not failed', async () => {
  const real = await openSqliteStore(':memory:');
  let meanwhile = async (): Promise<void> => {};
  const store = intercepted<Store>(real, {
    listUnansweredIds: async (asked, limit) => {
      const found = await real.listUnansweredIds(asked, limit);
      if (found.length > 0) await meanwhile();
      return found;
    },
  });
  await using bench = new DomainBench(store, { settings: { prepareTimeoutMs: 60_000 } });
  const { agent, upload } = await bench.preparing();
  let looked = false;
  meanwhile = async () => {
    looked = true;
    await prepared(bench.context, agent.session, preparedMessage(upload));
  };
  bench.clock.advance(60_001);
  await bench.sweep();
  assert.ok(looked);
  assert.equal((await bench.upload(upload.uploadId)).status, 'uploading');
});

test('an upload that is retried while the sweeper looks does not expire', async () => {
  const real = await openSqliteStore(':memory:');
  let meanwhile = async (): Promise<void> => {};
  const store = intercepted<Store>(real, {
    listOverdueIds: async (now, limit) => {
      const found = await real.listOverdueIds(now, limit);
      if (found.length > 0) await meanwhile();
      return found;
    },
  });
  await using bench = new DomainBench(store);
  const agent = await bench.connect();
  await endSession(bench.context, agent.session);
  const { uploadId } = await bench.trigger();
  let looked = false;
  meanwhile = async () => {
    looked = true;
    await bench.domain.uploads.cancel(uploadId, 'operator-1');
    await bench.domain.uploads.retry(uploadId, 'operator-1');
  };
  bench.clock.advance(24 * HOUR_MS);
  await bench.sweep();
  assert.ok(looked);
  assert.equal((await bench.upload(uploadId)).status, 'queued');
});

test('what was completing when the server stopped is finished by the next start’s first round', async () => {
  await using bench = await openBench();
  const running = sampleUploadIn('completing');
  await bench.store.insertUpload(running, sampleAudit());
  bench.bucket.objects.set(running.key, {
    sizeBytes: 12_582_912,
    etag: '"object-3"',
    versionId: null,
    token: running.objectToken,
    crc32: null,
    serverSideEncryption: null,
    storageClass: null,
  });
  await bench.store.announceParts(
    running.uploadId,
    [5_242_880, 5_242_880, 2_097_152].map((sizeBytes, index) => ({
      partNumber: index + 1,
      sizeBytes,
      crc32: 'AAAAAA==',
      sha256: null,
      md5: null,
    })),
  );
  await bench.store.recordUploadedParts(
    running.uploadId,
    [1, 2, 3].map((partNumber) => ({ partNumber, etag: `"${partNumber}"` })),
  );
  await bench.sweep();
  const record = await bench.reaches(running.uploadId, 'completed');
  assert.equal(record.etag, '"object-3"');
});

test('what is completing is never expired or aborted, however late it is', async () => {
  await using bench = await openBench();
  const release = bench.bucket.hold('completeMultipartUpload');
  const { upload } = await bench.completing();
  bench.clock.advance(20 * 24 * HOUR_MS);
  for (let round = 0; round < 3; round += 1) await bench.sweep();
  assert.equal((await bench.upload(upload.uploadId)).status, 'completing');
  assert.equal(bench.bucket.count('abortMultipartUpload'), 0);
  assert.equal(bench.bucket.count('completeMultipartUpload'), 1, 'nor is it started twice');
  release();
  await bench.reaches(upload.uploadId, 'completed');
  bench.clock.advance(2 * HOUR_MS);
  await bench.sweep();
  assert.equal(bench.bucket.count('abortMultipartUpload'), 0);
  assert.equal(bench.bucket.objects.size, 1);
});

test('queued uploads are handed over even if every kick was missed', async () => {
  await using bench = await openBench();
  const { connection } = await bench.connect();
  // The kick at hello must not find it.
  await bench.settle();
  const upload = sampleUpload();
  await bench.store.insertUpload(upload, sampleAudit());
  await bench.sweep();
  await bench.reaches(upload.uploadId, 'preparing');
  assert.equal(connection.sent('prepare_upload').length, 1);
});

test('ended uploads go after the retention time', async () => {
  await using bench = await openBench();
  const { agent, upload } = await bench.uploading();
  await failed(bench.context, agent.session, failedMessage(upload, 'permission_denied'));
  bench.clock.advance(RETENTION_MS);
  await bench.sweep();
  assert.notEqual(await bench.store.getUpload(upload.uploadId), undefined);
  bench.clock.advance(HOUR_MS - 1);
  await bench.sweep();
  assert.notEqual(await bench.store.getUpload(upload.uploadId), undefined, 'looked for once an hour');
  bench.clock.advance(1);
  await bench.sweep();
  assert.equal(await bench.store.getUpload(upload.uploadId), undefined);
});

const steps: Partial<Record<keyof Store, string>> = {
  listCompletingIds: 'resume',
  listUnansweredIds: 'unanswered',
  listOverdueIds: 'expire',
  listUploadsWithOpenMultipart: 'abort',
  removeOlderThan: 'retain',
};

for (const [method, step] of Object.entries(steps)) {
  test(`a ${step} step that fails does not stop the others, and the round does not reject`, async () => {
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
    await using bench = new DomainBench(intercepted<Store>(real, watched));
    await bench.sweep();
    assert.deepEqual(asked.sort(), Object.keys(steps).sort());
    const entry = bench.log.entries.find(({ level }) => level === 'error');
    assert.ok(entry !== undefined && 'step' in entry.data);
    assert.equal(entry.data.step, step);
  });
}

test('a round that is under way is joined, and idle waits for it', async () => {
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
  await using bench = new DomainBench(store);
  const { sweeper } = bench.domain;
  const rounds = [sweeper.sweep(), sweeper.sweep()];
  await bench.until(() => state.rounds === 1, 'the round');
  const idle = sweeper.idle().then(() => state.ended);
  gate.resolve();
  await Promise.all(rounds);
  assert.equal(await idle, true);
  assert.equal(state.rounds, 1);
  await sweeper.sweep();
  assert.equal(state.rounds, 2);
});

/** A multipart upload in the bucket, as an interrupted Create leaves it. */
async function leftBehind(bench: DomainBench, key: string): Promise<string> {
  const { s3UploadId } = await bench.bucket.createMultipartUpload({ key, token: 't', checksumMode: 'crc32' });
  return s3UploadId;
}

test('multipart uploads of ours that no row refers to are aborted, once they are old enough', async () => {
  await using bench = await openBench();
  const { upload } = await bench.uploading();
  const orphan = await leftBehind(bench, upload.key);
  const strangers = [
    await leftBehind(bench, 'uploads/other-software/file'),
    await leftBehind(bench, sampleUpload().key),
    await leftBehind(bench, `elsewhere/client-1/${upload.uploadId}/report.bin`),
  ];
  await bench.sweep();
  assert.equal(bench.bucket.count('listMultipartUploads'), 1, 'at the start it is looked for');
  bench.clock.advance(HOUR_MS - 1);
  await bench.sweep();
  assert.equal(bench.bucket.count('listMultipartUploads'), 1, 'a listing costs requests');
  assert.deepEqual(bench.bucket.aborted, []);
  bench.clock.advance(1);
  await bench.sweep();
  assert.deepEqual(bench.bucket.aborted, [orphan]);
  assert.ok(bench.bucket.uploads.has(upload.s3UploadId ?? ''), 'the running one stays');
  for (const stranger of strangers) assert.ok(bench.bucket.uploads.has(stranger));
  await bench.sweep();
  assert.equal(bench.bucket.count('listMultipartUploads'), 2);
});

test('a multipart upload that was only just created is no orphan', async () => {
  await using bench = await openBench();
  const { upload } = await bench.uploading();
  bench.clock.advance(HOUR_MS);
  const young = await leftBehind(bench, upload.key);
  bench.clock.advance(HOUR_MS - 1);
  await bench.sweep();
  assert.equal(bench.bucket.count('listMultipartUploads'), 1);
  assert.ok(bench.bucket.uploads.has(young));
});

test('trials of the store that a killed server left are aborted after an hour, however young orphans may be', async () => {
  await using bench = await openBench({ orphanAgeMs: 1000 });
  const elsewhere = await leftBehind(bench, 'elsewhere/.backhaul-probe/some/part');
  const trial = await leftBehind(bench, 'uploads/.backhaul-probe/some/part');
  bench.clock.advance(HOUR_MS - 1);
  await bench.sweep();
  assert.deepEqual(bench.bucket.aborted, [], 'another server may be at it');
  bench.clock.advance(1000);
  await bench.sweep();
  assert.deepEqual(bench.bucket.aborted, [trial]);
  assert.ok(bench.bucket.uploads.has(elsewhere));
});

test('a multipart upload that parts in flight kept alive is aborted again', async () => {
  await using bench = await openBench();
  const { agent, upload } = await bench.uploading();
  const survivor = bench.bucket.uploads.get(upload.s3UploadId ?? '');
  assert.ok(survivor !== undefined);
  await failed(bench.context, agent.session, failedMessage(upload, 'permission_denied'));
  bench.bucket.uploads.set(survivor.s3UploadId, survivor);
  bench.clock.advance(HOUR_MS);
  await bench.sweep();
  assert.equal(bench.bucket.uploads.size, 0);
});

test('an orphan that cannot be aborted does not protect the others', async () => {
  await using bench = await openBench();
  const { upload } = await bench.uploading();
  await leftBehind(bench, upload.key);
  const second = await leftBehind(bench, upload.key);
  bench.bucket.fail('abortMultipartUpload', 'refused');
  bench.clock.advance(HOUR_MS);
  await bench.sweep();
  assert.deepEqual(bench.bucket.aborted, [second]);
});

test('a store that hangs holds up neither the sweeper nor who ends an upload, and the stop cuts it short', async () => {
  await using bench = await openBench();
  const { agent, upload } = await bench.uploading();
  bench.bucket.hold('abortMultipartUpload');
  await failed(bench.context, agent.session, failedMessage(upload, 'permission_denied'));
  assert.equal((await bench.upload(upload.uploadId)).status, 'failed');
  await endSession(bench.context, agent.session);
  const late = await bench.trigger('/data/late');
  await bench.store.insertUpload(sampleUploadIn('failed'), sampleAudit());
  await bench.domain.sweeper.sweep();
  await bench.until(() => bench.bucket.count('abortMultipartUpload') === 2, 'the sweeper’s abort');
  bench.clock.advance(24 * HOUR_MS);
  await bench.domain.sweeper.sweep();
  assert.equal((await bench.upload(late.uploadId)).status, 'expired');
  assert.equal(bench.bucket.count('abortMultipartUpload'), 2, 'one at a time for each upload');
  await bench.domain.stop();
  assert.equal((await bench.upload(upload.uploadId)).multipartOpen, true, 'left to the next start');
});

test('the first abort that finds the store away is the last of its round', async () => {
  await using bench = await openBench();
  for (let count = 0; count < 12; count += 1) {
    await bench.store.insertUpload(sampleUploadIn('failed'), sampleAudit());
  }
  bench.bucket.fail('abortMultipartUpload', 'unavailable');
  await bench.sweep();
  assert.equal(bench.bucket.count('abortMultipartUpload'), 4);
  await bench.sweep();
  assert.equal(bench.bucket.count('abortMultipartUpload'), 4 + 9);
});

test('an abort that is refused does not protect the others', async () => {
  await using bench = await openBench();
  for (let count = 0; count < 6; count += 1) {
    await bench.store.insertUpload(sampleUploadIn('failed'), sampleAudit());
  }
  bench.bucket.fail('abortMultipartUpload', 'refused');
  await bench.sweep();
  assert.equal(bench.bucket.aborted.length, 5);
});

test('what is beyond retention goes in batches until nothing is left', async () => {
  const real = await openSqliteStore(':memory:');
  const limits: number[] = [];
  const store = intercepted<Store>(real, {
    removeOlderThan: async (before, limit) => {
      limits.push(limit);
      return real.removeOlderThan(before, 2);
    },
  });
  await using bench = new DomainBench(store);
  for (let count = 0; count < 5; count += 1) {
    await bench.store.insertUpload({ ...sampleUploadIn('failed'), multipartOpen: false }, sampleAudit());
  }
  bench.clock.advance(RETENTION_MS + HOUR_MS);
  await bench.sweep();
  assert.deepEqual(await bench.store.listUploads({ limit: 10 }), []);
  assert.equal(limits.length, 4);
  assert.ok(limits.every((limit) => limit === 500));
});

test('an upload that is removed while the sweeper looks does not keep the others from ending', async () => {
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
  await using bench = new DomainBench(store);
  const uploads = [sampleUpload(), sampleUpload()];
  for (const upload of uploads) await real.insertUpload(upload, sampleAudit());
  bench.clock.advance(365 * 24 * HOUR_MS);
  await bench.sweep();
  assert.equal(removed, 1);
  const left = await Promise.all(uploads.map(({ uploadId }) => real.getUpload(uploadId)));
  assert.deepEqual(
    left.flatMap((upload) => upload?.status ?? []),
    ['expired'],
  );
});
