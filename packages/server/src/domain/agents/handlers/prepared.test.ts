import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ChangePolicy, Fingerprint } from '@backhaul/protocol';
import { openSqliteStore } from '../../../store/open-sqlite-store.ts';
import { DomainFixture, type FixtureOptions } from '../../../../../../test/harness/server/domain-fixture.ts';
import {
  announce,
  completedMessage,
  type FakeAgent,
  fakeCrc32,
  FILE_BYTES,
  partsReadyMessage,
  preparedMessage,
  resumedMessage,
} from '../../../../../../test/doubles/fake-agent.ts';
import { URL_LIFETIME_MS } from '../../../../../../test/doubles/fake-bucket.ts';
import { intercepted } from '../../../../../../test/doubles/intercepted.ts';
import { type Store, StoreError } from '../../ports/store.ts';
import type { Upload } from '../../uploads/upload.ts';
import { completed } from './endings.ts';
import { partsReady } from './parts.ts';
import { prepared, resumed } from './prepared.ts';

async function openFixture(options: FixtureOptions = {}): Promise<DomainFixture> {
  return new DomainFixture(await openSqliteStore(':memory:'), options);
}

test('prepared creates the multipart upload with the token, and responds with the URLs of the window', async () => {
  await using fixture = await openFixture();
  const { agent, upload } = await fixture.preparing();
  await prepared(fixture.context, agent.session, preparedMessage(upload));

  const record = await fixture.upload(upload.uploadId);
  assert.equal(record.status, 'uploading');
  assert.equal(record.sizeBytes, FILE_BYTES);
  assert.equal(record.partCount, 3);
  assert.equal(record.sourceModifiedAt, Date.UTC(2025, 9, 31));
  assert.equal(record.multipartOpen, true);
  const pending = fixture.bucket.uploads.get(record.s3UploadId ?? '');
  assert.equal(pending?.token, upload.objectToken);
  assert.equal(pending?.key, upload.key);

  const [frame] = agent.connection.sent('download_file');
  assert.equal(frame?.file_path, '/data/report.bin');
  const config = frame.upload_config;
  assert.equal(config.upload_id, upload.uploadId);
  assert.equal(config.attempt, 1);
  assert.equal(config.chunk_size, 5 * 1024 * 1024);
  assert.equal(config.part_count, 3);
  assert.equal(config.expires_in_ms, URL_LIFETIME_MS);
  assert.equal(config.expires_at, new Date(fixture.clock.now() + URL_LIFETIME_MS).toISOString());
  assert.deepEqual(
    config.presigned_urls.map((url) => url.part_number),
    [1, 2, 3],
  );
  assert.deepEqual(
    (await fixture.store.listParts(upload.uploadId)).map(({ partNumber, crc32, etag }) => ({
      partNumber,
      crc32,
      etag,
    })),
    [1, 2, 3].map((partNumber) => ({ partNumber, crc32: fakeCrc32(partNumber), etag: null })),
  );
});

test('parts are recorded before their URLs are signed', async () => {
  await using fixture = await openFixture();
  const { agent, upload } = await fixture.preparing();
  const release = fixture.bucket.hold('signParts');
  const handling = prepared(fixture.context, agent.session, preparedMessage(upload));
  await fixture.until(() => fixture.bucket.count('signParts') === 1, 'signing');
  assert.equal((await fixture.store.listParts(upload.uploadId)).length, 3);
  release();
  await handling;
});

/** Sends a prepared message that must end the upload. */
async function refusal(
  fixture: DomainFixture,
  fields: Parameters<typeof preparedMessage>[1],
): Promise<{ error: string | null; message: string }> {
  const { agent, upload } = await fixture.preparing();
  await prepared(fixture.context, agent.session, preparedMessage(upload, fields));
  const { status, error, message } = await fixture.upload(upload.uploadId);
  assert.equal(status, 'failed');
  assert.deepEqual(agent.connection.sent('download_file'), []);
  const [cancellation] = agent.connection.sent('cancel_upload');
  assert.equal(cancellation?.upload_id, upload.uploadId, 'the agent may close the file');
  return { error, message: message ?? '' };
}

test('prepared with another file than the requested one is refused before anything is created', async () => {
  for (const file_name of [
    'deploy.sh',
    '../report.bin',
    '/data/report.bin',
    'report.bin\0',
    '..',
    'report.bi\u202en',
  ]) {
    await using fixture = await openFixture();
    const { error, message } = await refusal(fixture, { file_name });
    assert.equal(error, 'protocol_error');
    assert.match(message, /asked for "\/data\/report\.bin" but sent a file named/);
    assert.equal(fixture.bucket.count('createMultipartUpload'), 0);
  }
});

test('a name spelled as in the agent’s directory is accepted, and the requested one is stored', async () => {
  await using fixture = await openFixture();
  const { agent, upload } = await fixture.preparing();
  await prepared(fixture.context, agent.session, preparedMessage(upload, { file_name: 'REPORT.bin' }));
  const { status, fileName } = await fixture.upload(upload.uploadId);
  assert.deepEqual([status, fileName], ['uploading', 'report.bin']);
});

test('a plan that differs from the server’s is refused', async () => {
  for (const fields of [{ chunk_size: 6 * 1024 * 1024 }, { part_count: 4 }]) {
    await using fixture = await openFixture();
    const { error, message } = await refusal(fixture, fields);
    assert.equal(error, 'plan_mismatch');
    assert.match(message, /3 parts of 5242880/);
    assert.equal(fixture.bucket.count('createMultipartUpload'), 0);
  }
});

test('the server also refuses a file above MAX_FILE_SIZE, but not one of exactly that size', async () => {
  await using tooSmall = await openFixture({ settings: { maxFileSize: FILE_BYTES - 1 } });
  const { error, message } = await refusal(tooSmall, {});
  assert.equal(error, 'file_too_large');
  assert.match(message, /MAX_FILE_SIZE/);
  assert.equal(tooSmall.bucket.count('createMultipartUpload'), 0);

  await using enough = await openFixture({ settings: { maxFileSize: FILE_BYTES } });
  await enough.uploading();
});

test('a file above S3’s maximum is refused', async () => {
  await using fixture = await openFixture();
  const { agent, upload } = await fixture.preparing();
  await prepared(fixture.context, agent.session, { ...preparedMessage(upload), size: 60 * 1024 ** 4 });
  assert.equal((await fixture.upload(upload.uploadId)).error, 'file_too_large');
  assert.equal(fixture.bucket.count('createMultipartUpload'), 0);
});

test('parts that do not match the plan are refused before anything is created', async () => {
  const [first, second, last] = announce(FILE_BYTES);
  assert.ok(first !== undefined && second !== undefined && last !== undefined);
  for (const [parts, complaint] of [
    [[{ ...first, part_number: 4 }], /part 4 but the file has 3/],
    [[first, second, first], /part 1 twice/],
    [[{ ...last, size: first.size }], /the plan says 2097152/],
  ] as const) {
    await using fixture = await openFixture();
    const { error, message } = await refusal(fixture, { parts: [...parts] });
    assert.equal(error, 'protocol_error');
    assert.match(message, complaint);
    assert.equal(fixture.bucket.count('createMultipartUpload'), 0);
  }
});

test('parts without the checksum of the mode are refused', async () => {
  for (const checksumMode of ['sha256', 'md5'] as const) {
    await using fixture = await openFixture();
    fixture.bucket.supports = { ...fixture.bucket.supports, checksumMode };
    const { error, message } = await refusal(fixture, {});
    assert.equal(error, 'protocol_error');
    assert.match(message, new RegExp(`without its ${checksumMode}`));
  }
});

test('a store that refuses Create ends the upload with storage_refused', async () => {
  await using fixture = await openFixture();
  fixture.bucket.fail('createMultipartUpload', 'refused');
  assert.equal((await refusal(fixture, {})).error, 'storage_refused');
  assert.equal(fixture.bucket.faultsFired, 1);
});

test('a store that is unavailable at Create requeues the upload for a later attempt', async () => {
  await using fixture = await openFixture();
  const { agent, upload } = await fixture.preparing();
  // It is unknown whether it took effect: if so, the multipart upload is an orphan.
  fixture.bucket.fail('createMultipartUpload', 'unavailable', { afterEffect: true });
  await prepared(fixture.context, agent.session, preparedMessage(upload));
  await fixture.idle();
  const record = await fixture.upload(upload.uploadId);
  assert.equal(record.status, 'queued');
  assert.equal(record.attempt, 2);
  assert.match(record.message ?? '', /object store/);
  assert.equal(agent.connection.sent('cancel_upload')[0]?.attempt, 1, 'the agent may close the file');
  assert.equal(agent.connection.sent('prepare_upload').length, 1, 'not immediately');

  fixture.clock.advance(1000);
  await fixture.sweep();
  const again = await fixture.reaches(upload.uploadId, 'preparing');
  assert.notEqual(again.objectToken, upload.objectToken);
  await prepared(fixture.context, agent.session, preparedMessage(again));
  await fixture.reaches(upload.uploadId, 'uploading');
  fixture.clock.advance(3_600_000);
  await fixture.sweep();
  assert.equal(fixture.bucket.aborted.length, 1, 'the orphan of the first attempt');
  assert.ok(fixture.bucket.uploads.has((await fixture.upload(upload.uploadId)).s3UploadId ?? ''));
});

test('a store that responds but accepts no upload is tried less and less often', async () => {
  await using fixture = await openFixture();
  const { agent, upload } = await fixture.preparing();
  fixture.bucket.fail('createMultipartUpload', 'unavailable', { times: 5 });
  const waits: number[] = [];
  for (let attempt = 1; attempt <= 5; attempt += 1) {
    await prepared(fixture.context, agent.session, preparedMessage({ ...upload, attempt }));
    waits.push(((await fixture.upload(upload.uploadId)).nextAttemptAt ?? 0) - fixture.clock.now());
    fixture.clock.advance(waits.at(-1) ?? 0);
    fixture.context.dispatcher.schedule('client-1');
    await fixture.reaches(upload.uploadId, 'preparing');
  }
  assert.deepEqual(waits, [1000, 750, 1500, 3000, 6000]);
  assert.equal(fixture.bucket.faultsFired, 5);
});

test('stopping the server ends the wait for a store that does not respond', async () => {
  await using fixture = await openFixture();
  const { agent, upload } = await fixture.preparing();
  fixture.bucket.hold('createMultipartUpload');
  const handling = prepared(fixture.context, agent.session, preparedMessage(upload));
  await fixture.until(() => fixture.bucket.count('createMultipartUpload') === 1, 'Create');
  await fixture.domain.stop();
  await handling;
  assert.equal((await fixture.upload(upload.uploadId)).status, 'queued');
});

test('when URLs cannot be signed, the upload is requeued with its multipart upload', async () => {
  await using fixture = await openFixture();
  const { agent, upload } = await fixture.preparing();
  fixture.bucket.fail('signParts', 'unavailable');
  await prepared(fixture.context, agent.session, preparedMessage(upload));
  assert.equal(fixture.bucket.faultsFired, 1);
  const record = await fixture.upload(upload.uploadId);
  assert.deepEqual([record.status, record.attempt], ['queued', 2]);
  assert.match(record.stalledReason ?? '', /signParts/);
  assert.ok((record.nextAttemptAt ?? 0) > fixture.clock.now());
  assert.ok(fixture.bucket.uploads.has(record.s3UploadId ?? ''));
  assert.deepEqual(agent.connection.sent('download_file'), []);
  assert.equal(agent.connection.sent('cancel_upload')[0]?.attempt, 1);
});

test('a repeated prepared gets fresh URLs and creates nothing', async () => {
  await using fixture = await openFixture();
  const { agent, upload } = await fixture.preparing();
  await prepared(fixture.context, agent.session, preparedMessage(upload));
  const first = await fixture.upload(upload.uploadId);
  fixture.clock.advance(1000);
  await prepared(fixture.context, agent.session, preparedMessage(upload));
  assert.equal(fixture.bucket.count('createMultipartUpload'), 1);
  const frames = agent.connection.sent('download_file');
  assert.equal(frames.length, 2);
  assert.notEqual(frames[1]?.upload_config.expires_at, frames[0]?.upload_config.expires_at);
  assert.deepEqual(await fixture.upload(upload.uploadId), first, 'the row is unchanged');
});

test('prepared twice at the same time creates one multipart upload', async () => {
  await using fixture = await openFixture();
  const { agent, upload } = await fixture.preparing();
  const message = preparedMessage(upload);
  await Promise.all([1, 2, 3].map(() => prepared(fixture.context, agent.session, message)));
  assert.equal(fixture.bucket.count('createMultipartUpload'), 1);
  assert.equal(agent.connection.sent('download_file').length, 3);
});

test('a repeated prepared with parts that do not match the plan gets no URLs for them', async () => {
  await using fixture = await openFixture();
  const { agent, upload } = await fixture.uploading();
  const oversized = [{ part_number: 1, size: 5 * 1024 ** 3, crc32: fakeCrc32(1) }];
  await prepared(fixture.context, agent.session, preparedMessage(upload, { parts: oversized }));
  assert.equal(agent.connection.sent('download_file').length, 1);
  assert.equal((await fixture.upload(upload.uploadId)).error, 'protocol_error');
});

test('a repeated prepared with other checksums is another version of the file and gets no URLs', async () => {
  await using fixture = await openFixture();
  const { agent, upload } = await fixture.uploading();
  const parts = [{ part_number: 2, size: 5 * 1024 ** 2, crc32: fakeCrc32(77) }];
  await prepared(fixture.context, agent.session, preparedMessage(upload, { parts }));
  const record = await fixture.upload(upload.uploadId);
  assert.deepEqual([record.status, record.error], ['failed', 'file_changed']);
  assert.match(record.message ?? '', /part 2/);
  assert.equal(agent.connection.sent('download_file').length, 1);
});

test('a repeated prepared of another version of the file gets no URLs and ends as file_changed', async () => {
  await using fixture = await openFixture();
  const { agent, upload } = await fixture.uploading();
  const { fingerprint } = preparedMessage(upload);
  const changed = preparedMessage(upload, { fingerprint: { ...fingerprint, mtime_ns: '99' } });
  await prepared(fixture.context, agent.session, changed);
  assert.equal(agent.connection.sent('download_file').length, 1);
  const ended = await fixture.store.getUpload(upload.uploadId);
  assert.deepEqual([ended?.status, ended?.error], ['failed', 'file_changed']);
});

for (const [what, abort] of [
  ['is aborted', 'works'],
  ['that cannot be aborted fails no other upload', 'fails'],
] as const) {
  test(`a multipart upload created in a lost race ${what}`, async () => {
    const race = { on: false };
    const real = await openSqliteStore(':memory:');
    const store = intercepted<Store>(real, {
      saveUpload: async (upload, save) => {
        if (!race.on) return real.saveUpload(upload, save);
        race.on = false;
        // Another writer was faster.
        await real.closeSessionsOf('node-1', {
          at: fixture.clock.now(),
          reason: 'The server was restarted.',
        });
        return real.saveUpload(upload, save);
      },
    });
    await using fixture = new DomainFixture(store);
    const { agent, upload } = await fixture.preparing();
    race.on = true;
    if (abort === 'fails') fixture.bucket.fail('abortMultipartUpload', 'unavailable');
    await prepared(fixture.context, agent.session, preparedMessage(upload));
    assert.equal((await fixture.upload(upload.uploadId)).status, 'preparing');
    assert.equal(fixture.bucket.count('abortMultipartUpload'), 1);
    assert.equal(fixture.bucket.uploads.size, abort === 'fails' ? 1 : 0);
    assert.deepEqual(agent.connection.sent('download_file'), []);
  });
}

test('while the database rejects the row, no multipart upload is left behind', async () => {
  const real = await openSqliteStore(':memory:');
  let refusals = 0;
  const store = intercepted<Store>(real, {
    saveUpload: async (upload, save) => {
      if (upload.status !== 'uploading' || refusals === 2) return real.saveUpload(upload, save);
      refusals += 1;
      throw new StoreError('the database is locked');
    },
  });
  await using fixture = new DomainFixture(store);
  const { agent, upload } = await fixture.preparing();
  const handle = () => prepared(fixture.context, agent.session, preparedMessage(upload));
  await assert.rejects(handle, StoreError);
  await assert.rejects(handle, StoreError);
  assert.equal(refusals, 2);
  assert.equal(fixture.bucket.uploads.size, 0);
  await handle();
  const { status, attempt } = await fixture.upload(upload.uploadId);
  assert.deepEqual([status, attempt], ['uploading', 1]);
  assert.equal(fixture.bucket.uploads.size, 1);
});

/** An interrupted upload whose new session was asked to resume it. */
async function resuming(
  fixture: DomainFixture,
  { onChange = 'fail' }: { onChange?: ChangePolicy } = {},
): Promise<{ agent: FakeAgent; upload: Upload }> {
  const queued = await fixture.interrupted({ sent: [1, 2] });
  if (onChange !== 'fail') {
    const changed = { ...queued, onChange, version: queued.version + 1 };
    assert.ok(await fixture.store.saveUpload(changed, { expectedVersion: queued.version }));
  }
  const agent = await fixture.connect();
  return { agent, upload: await fixture.reaches(queued.uploadId, 'preparing') };
}

test('a repeated resumed is ignored', async () => {
  await using fixture = await openFixture();
  const { agent, upload } = await resuming(fixture);
  await resumed(fixture.context, agent.session, resumedMessage(upload));
  const record = await fixture.upload(upload.uploadId);
  assert.deepEqual([record.status, record.version], ['uploading', upload.version + 1]);
  await resumed(fixture.context, agent.session, resumedMessage(upload));
  assert.deepEqual(await fixture.upload(upload.uploadId), record);
});

const fingerprint: Fingerprint = {
  device: '1',
  inode: '2',
  size: String(FILE_BYTES),
  mtime_ns: '3',
  ctime_ns: '4',
};

for (const [what, changes, onChange, end] of [
  ['another inode', { inode: '9' }, 'fail', 'uploading'],
  ['another inode and mtime', { inode: '9', mtime_ns: '9' }, 'prefix', 'failed'],
  ['another mtime', { mtime_ns: '9' }, 'fail', 'failed'],
  ['another size', { size: '9' }, 'fail', 'failed'],
  ['another device and ctime', { device: '9', ctime_ns: '9' }, 'fail', 'uploading'],
  ['another mtime', { mtime_ns: '9' }, 'restart', 'queued'],
  ['more bytes', { size: String(FILE_BYTES + 1), mtime_ns: '9' }, 'prefix', 'uploading'],
  ['fewer bytes', { size: String(FILE_BYTES - 1), mtime_ns: '9' }, 'prefix', 'failed'],
] as const) {
  test(`a file that now has ${what} is, with policy ${onChange}, ${end}`, async () => {
    await using fixture = await openFixture();
    const { agent, upload } = await resuming(fixture, { onChange });
    const message = resumedMessage(upload, { fingerprint: { ...fingerprint, ...changes } });
    await resumed(fixture.context, agent.session, message);
    const record = await fixture.upload(upload.uploadId);
    assert.equal(record.status, end);
    if (end === 'failed') assert.equal(record.error, 'file_changed');
    if (end === 'queued') {
      assert.deepEqual([record.restarts, record.s3UploadId, record.fingerprint], [1, null, null]);
    }
    await fixture.idle();
    assert.deepEqual(fixture.bucket.aborted, end === 'uploading' ? [] : [upload.s3UploadId]);
  });
}

test('a size that differs from the parts’ is another version, whatever the fingerprint says', async () => {
  await using fixture = await openFixture();
  const { agent, upload } = await resuming(fixture, { onChange: 'prefix' });
  await resumed(fixture.context, agent.session, resumedMessage(upload, { size: FILE_BYTES + 1 }));
  assert.equal((await fixture.upload(upload.uploadId)).error, 'file_changed');
});

test('an agent that prepares when asked to resume, or the reverse, violates the protocol', async () => {
  await using fixture = await openFixture();
  const { agent, upload } = await resuming(fixture);
  await prepared(fixture.context, agent.session, preparedMessage(upload));
  assert.equal((await fixture.upload(upload.uploadId)).error, 'protocol_error');
  assert.equal(fixture.bucket.count('createMultipartUpload'), 1, 'no second one');

  await using other = await openFixture();
  const fresh = await other.preparing();
  await resumed(other.context, fresh.agent.session, resumedMessage(fresh.upload));
  assert.equal((await other.upload(fresh.upload.uploadId)).error, 'protocol_error');
});

test('until the agent has resumed it gets no URLs, and its reported outcome is ignored', async () => {
  await using fixture = await openFixture();
  const { agent, upload } = await resuming(fixture);
  await partsReady(fixture.context, agent.session, partsReadyMessage(upload, announce(FILE_BYTES, [3])));
  await completed(fixture.context, agent.session, completedMessage(upload, { parts: [], resumed: true }));
  assert.deepEqual(await fixture.upload(upload.uploadId), upload);
  assert.deepEqual(agent.connection.sent('part_urls'), []);
});

test('an attempt with nothing left to send completes without sending a part', async () => {
  await using fixture = await openFixture();
  const queued = await fixture.interrupted();
  const agent = await fixture.connect();
  const upload = await fixture.reaches(queued.uploadId, 'preparing');
  assert.equal(upload.partsCompleted, 3);
  await resumed(fixture.context, agent.session, resumedMessage(upload));
  await completed(fixture.context, agent.session, completedMessage(upload, { parts: [], resumed: true }));
  await fixture.reaches(upload.uploadId, 'completed');
});

test('an attempt that falsely reports nothing left to send is not completed', async () => {
  await using fixture = await openFixture();
  const { agent, upload } = await resuming(fixture);
  await resumed(fixture.context, agent.session, resumedMessage(upload));
  await completed(fixture.context, agent.session, completedMessage(upload, { parts: [], resumed: true }));
  const record = await fixture.reaches(upload.uploadId, 'failed');
  assert.equal(record.error, 'protocol_error');
  assert.match(record.message ?? '', /part 3/);
  assert.equal(fixture.bucket.count('completeMultipartUpload'), 0);
});
