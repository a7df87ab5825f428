import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openSqliteStore } from '../../store/open-sqlite-store.ts';
import { type BenchOptions, DomainBench } from '../fakes/domain-bench.ts';
import { FILE_BYTES, announce, fakeCrc32, preparedMessage } from '../fakes/fake-agent.ts';
import { URL_LIFETIME_MS } from '../fakes/fake-bucket.ts';
import { intercepted } from '../fakes/intercepted.ts';
import { type Store, StoreError } from '../ports/store.ts';
import { prepared } from './prepared.ts';

async function openBench(options: BenchOptions = {}): Promise<DomainBench> {
  return new DomainBench(await openSqliteStore(':memory:'), options);
}

test('prepared creates the multipart upload with the token, and answers with URLs of the window', async () => {
  await using bench = await openBench();
  const { agent, upload } = await bench.preparing();
  await prepared(bench.context, agent.session, preparedMessage(upload));

  const record = await bench.upload(upload.uploadId);
  assert.equal(record.status, 'uploading');
  assert.equal(record.sizeBytes, FILE_BYTES);
  assert.equal(record.partCount, 3);
  assert.equal(record.sourceModifiedAt, Date.UTC(2025, 9, 31));
  assert.equal(record.multipartOpen, true);
  const pending = bench.bucket.uploads.get(record.s3UploadId ?? '');
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
  assert.equal(config.expires_at, new Date(bench.clock.now() + URL_LIFETIME_MS).toISOString());
  assert.deepEqual(
    config.presigned_urls.map((url) => url.part_number),
    [1, 2, 3],
  );
  assert.deepEqual(
    (await bench.store.listParts(upload.uploadId)).map(({ partNumber, crc32, etag }) => ({
      partNumber,
      crc32,
      etag,
    })),
    [1, 2, 3].map((partNumber) => ({ partNumber, crc32: fakeCrc32(partNumber), etag: null })),
  );
});

test('parts are on record before their URLs are signed', async () => {
  await using bench = await openBench();
  const { agent, upload } = await bench.preparing();
  const release = bench.bucket.hold('signParts');
  const handling = prepared(bench.context, agent.session, preparedMessage(upload));
  await bench.until(() => bench.bucket.count('signParts') === 1, 'signing');
  assert.equal((await bench.store.listParts(upload.uploadId)).length, 3);
  release();
  await handling;
});

/** Sends a prepared message that must end the upload. */
async function refusal(
  bench: DomainBench,
  fields: Parameters<typeof preparedMessage>[1],
): Promise<{ error: string | null; message: string }> {
  const { agent, upload } = await bench.preparing();
  await prepared(bench.context, agent.session, preparedMessage(upload, fields));
  const { status, error, message } = await bench.upload(upload.uploadId);
  assert.equal(status, 'failed');
  assert.deepEqual(agent.connection.sent('download_file'), []);
  const [told] = agent.connection.sent('cancel_upload');
  assert.equal(told?.upload_id, upload.uploadId, 'the agent may close the file');
  return { error, message: message ?? '' };
}

test('prepared of another file than the requested one is refused, before anything is created', async () => {
  for (const file_name of [
    'deploy.sh',
    '../report.bin',
    '/data/report.bin',
    'report.bin\0',
    '..',
    'report.bi\u202en',
  ]) {
    await using bench = await openBench();
    const { error, message } = await refusal(bench, { file_name });
    assert.equal(error, 'protocol_error');
    assert.match(message, /asked for "\/data\/report\.bin" and answered with a file named/);
    assert.equal(bench.bucket.count('createMultipartUpload'), 0);
  }
});

test('a name in the spelling of the agent’s directory is accepted, and the request’s is kept', async () => {
  await using bench = await openBench();
  const { agent, upload } = await bench.preparing();
  await prepared(bench.context, agent.session, preparedMessage(upload, { file_name: 'REPORT.bin' }));
  const { status, fileName } = await bench.upload(upload.uploadId);
  assert.deepEqual([status, fileName], ['uploading', 'report.bin']);
});

test('another plan than the server’s is refused', async () => {
  for (const fields of [{ chunk_size: 6 * 1024 * 1024 }, { part_count: 4 }]) {
    await using bench = await openBench();
    const { error, message } = await refusal(bench, fields);
    assert.equal(error, 'plan_mismatch');
    assert.match(message, /3 parts of 5242880/);
    assert.equal(bench.bucket.count('createMultipartUpload'), 0);
  }
});

test('a file above MAX_FILE_SIZE is refused by the server as well, one of that size is not', async () => {
  await using tooSmall = await openBench({ settings: { maxFileSize: FILE_BYTES - 1 } });
  const { error, message } = await refusal(tooSmall, {});
  assert.equal(error, 'file_too_large');
  assert.match(message, /MAX_FILE_SIZE/);
  assert.equal(tooSmall.bucket.count('createMultipartUpload'), 0);

  await using enough = await openBench({ settings: { maxFileSize: FILE_BYTES } });
  await enough.uploading();
});

test('a file above what S3 takes is refused', async () => {
  await using bench = await openBench();
  const { agent, upload } = await bench.preparing();
  await prepared(bench.context, agent.session, { ...preparedMessage(upload), size: 60 * 1024 ** 4 });
  assert.equal((await bench.upload(upload.uploadId)).error, 'file_too_large');
  assert.equal(bench.bucket.count('createMultipartUpload'), 0);
});

test('parts that are not of the plan are refused before anything is created', async () => {
  const [first, second, last] = announce(FILE_BYTES);
  assert.ok(first !== undefined && second !== undefined && last !== undefined);
  for (const [parts, complaint] of [
    [[{ ...first, part_number: 4 }], /part 4 of a file of 3/],
    [[first, second, first], /part 1 twice/],
    [[{ ...last, size: first.size }], /by the plan it has 2097152/],
  ] as const) {
    await using bench = await openBench();
    const { error, message } = await refusal(bench, { parts: [...parts] });
    assert.equal(error, 'protocol_error');
    assert.match(message, complaint);
    assert.equal(bench.bucket.count('createMultipartUpload'), 0);
  }
});

test('parts without the checksum that the mode asks for are refused', async () => {
  for (const checksumMode of ['sha256', 'md5'] as const) {
    await using bench = await openBench();
    bench.bucket.honours = { ...bench.bucket.honours, checksumMode };
    const { error, message } = await refusal(bench, {});
    assert.equal(error, 'protocol_error');
    assert.match(message, new RegExp(`without its ${checksumMode}`));
  }
});

test('a store that refuses Create ends the upload with storage_refused', async () => {
  await using bench = await openBench();
  bench.bucket.fail('createMultipartUpload', 'refused');
  assert.equal((await refusal(bench, {})).error, 'storage_refused');
  assert.equal(bench.bucket.faultsFired, 1);
});

test('a store that is away at Create puts the upload back into the queue, for a later attempt', async () => {
  await using bench = await openBench();
  const { agent, upload } = await bench.preparing();
  // Whether it took effect nobody knows: what it may have made is an orphan.
  bench.bucket.fail('createMultipartUpload', 'unavailable', { afterEffect: true });
  await prepared(bench.context, agent.session, preparedMessage(upload));
  await bench.settle();
  const record = await bench.upload(upload.uploadId);
  assert.equal(record.status, 'queued');
  assert.equal(record.attempt, 2);
  assert.match(record.message ?? '', /object store/);
  assert.equal(agent.connection.sent('cancel_upload')[0]?.attempt, 1, 'the agent may close the file');
  assert.equal(agent.connection.sent('prepare_upload').length, 1, 'not at once');

  bench.clock.advance(1000);
  await bench.sweep();
  const again = await bench.reaches(upload.uploadId, 'preparing');
  assert.notEqual(again.objectToken, upload.objectToken);
  await prepared(bench.context, agent.session, preparedMessage(again));
  await bench.reaches(upload.uploadId, 'uploading');
  bench.clock.advance(3_600_000);
  await bench.sweep();
  assert.equal(bench.bucket.aborted.length, 1, 'the orphan of the first attempt');
  assert.ok(bench.bucket.uploads.has((await bench.upload(upload.uploadId)).s3UploadId ?? ''));
});

test('a store that answers, but takes no upload, is tried ever more rarely', async () => {
  await using bench = await openBench();
  const { agent, upload } = await bench.preparing();
  bench.bucket.fail('createMultipartUpload', 'unavailable', { times: 5 });
  const waits: number[] = [];
  for (let attempt = 1; attempt <= 5; attempt += 1) {
    await prepared(bench.context, agent.session, preparedMessage({ ...upload, attempt }));
    waits.push(((await bench.upload(upload.uploadId)).nextAttemptAt ?? 0) - bench.clock.now());
    bench.clock.advance(waits.at(-1) ?? 0);
    bench.context.dispatcher.kick('client-1');
    await bench.reaches(upload.uploadId, 'preparing');
  }
  assert.deepEqual(waits, [1000, 750, 1500, 3000, 6000]);
  assert.equal(bench.bucket.faultsFired, 5);
});

test('the stop of the server ends the wait for a store that takes a request and does not answer', async () => {
  await using bench = await openBench();
  const { agent, upload } = await bench.preparing();
  bench.bucket.hold('createMultipartUpload');
  const handling = prepared(bench.context, agent.session, preparedMessage(upload));
  await bench.until(() => bench.bucket.count('createMultipartUpload') === 1, 'Create');
  await bench.domain.stop();
  await handling;
  assert.equal((await bench.upload(upload.uploadId)).status, 'queued');
});

test('URLs that cannot be signed just now put the upload back into the queue, with its multipart upload', async () => {
  await using bench = await openBench();
  const { agent, upload } = await bench.preparing();
  bench.bucket.fail('signParts', 'unavailable');
  await prepared(bench.context, agent.session, preparedMessage(upload));
  assert.equal(bench.bucket.faultsFired, 1);
  const record = await bench.upload(upload.uploadId);
  assert.deepEqual([record.status, record.attempt], ['queued', 2]);
  assert.match(record.stalledReason ?? '', /signParts/);
  assert.ok((record.nextAttemptAt ?? 0) > bench.clock.now());
  assert.ok(bench.bucket.uploads.has(record.s3UploadId ?? ''));
  assert.deepEqual(agent.connection.sent('download_file'), []);
  assert.equal(agent.connection.sent('cancel_upload')[0]?.attempt, 1);
});

test('prepared again is answered with fresh URLs, and creates nothing', async () => {
  await using bench = await openBench();
  const { agent, upload } = await bench.preparing();
  await prepared(bench.context, agent.session, preparedMessage(upload));
  const first = await bench.upload(upload.uploadId);
  bench.clock.advance(1000);
  await prepared(bench.context, agent.session, preparedMessage(upload));
  assert.equal(bench.bucket.count('createMultipartUpload'), 1);
  const frames = agent.connection.sent('download_file');
  assert.equal(frames.length, 2);
  assert.notEqual(frames[1]?.upload_config.expires_at, frames[0]?.upload_config.expires_at);
  assert.deepEqual(await bench.upload(upload.uploadId), first, 'the row stays as it is');
});

test('prepared twice at the same time creates one multipart upload', async () => {
  await using bench = await openBench();
  const { agent, upload } = await bench.preparing();
  const message = preparedMessage(upload);
  await Promise.all([1, 2, 3].map(() => prepared(bench.context, agent.session, message)));
  assert.equal(bench.bucket.count('createMultipartUpload'), 1);
  assert.equal(agent.connection.sent('download_file').length, 3);
});

test('prepared again with parts that are not of the plan gets no URLs for them', async () => {
  await using bench = await openBench();
  const { agent, upload } = await bench.uploading();
  const oversized = [{ part_number: 1, size: 5 * 1024 ** 3, crc32: fakeCrc32(1) }];
  await prepared(bench.context, agent.session, preparedMessage(upload, { parts: oversized }));
  assert.equal(agent.connection.sent('download_file').length, 1);
  assert.equal((await bench.upload(upload.uploadId)).error, 'protocol_error');
});

test('prepared again with other checksums is of another version of the file: it gets no URLs', async () => {
  await using bench = await openBench();
  const { agent, upload } = await bench.uploading();
  const parts = [{ part_number: 2, size: 5 * 1024 ** 2, crc32: fakeCrc32(77) }];
  await prepared(bench.context, agent.session, preparedMessage(upload, { parts }));
  const record = await bench.upload(upload.uploadId);
  assert.deepEqual([record.status, record.error], ['failed', 'file_changed']);
  assert.match(record.message ?? '', /part 2/);
  assert.equal(agent.connection.sent('download_file').length, 1);
});

test('prepared again of another version of the file gets no URLs, and ends as file_changed', async () => {
  await using bench = await openBench();
  const { agent, upload } = await bench.uploading();
  const { fingerprint } = preparedMessage(upload);
  const changed = preparedMessage(upload, { fingerprint: { ...fingerprint, mtime_ns: '99' } });
  await prepared(bench.context, agent.session, changed);
  assert.equal(agent.connection.sent('download_file').length, 1);
  const ended = await bench.store.getUpload(upload.uploadId);
  assert.deepEqual([ended?.status, ended?.error], ['failed', 'file_changed']);
});

for (const [what, abort] of [
  ['is aborted', 'works'],
  ['that cannot be aborted fails nobody else’s upload', 'fails'],
] as const) {
  test(`a multipart upload created in a lost race ${what}`, async () => {
    const race = { on: false };
    const real = await openSqliteStore(':memory:');
    const store = intercepted<Store>(real, {
      saveUpload: async (upload, save) => {
        if (!race.on) return real.saveUpload(upload, save);
        race.on = false;
        // Somebody else was faster.
        await real.closeSessionsOf('node-1', { at: bench.clock.now(), reason: 'The server was restarted.' });
        return real.saveUpload(upload, save);
      },
    });
    await using bench = new DomainBench(store);
    const { agent, upload } = await bench.preparing();
    race.on = true;
    if (abort === 'fails') bench.bucket.fail('abortMultipartUpload', 'unavailable');
    await prepared(bench.context, agent.session, preparedMessage(upload));
    assert.equal((await bench.upload(upload.uploadId)).status, 'preparing');
    assert.equal(bench.bucket.count('abortMultipartUpload'), 1);
    assert.equal(bench.bucket.uploads.size, abort === 'fails' ? 1 : 0);
    assert.deepEqual(agent.connection.sent('download_file'), []);
  });
}

test('while the database does not take the row, no multipart upload is left behind', async () => {
  const real = await openSqliteStore(':memory:');
  let refusals = 0;
  const store = intercepted<Store>(real, {
    saveUpload: async (upload, save) => {
      if (upload.status !== 'uploading' || refusals === 2) return real.saveUpload(upload, save);
      refusals += 1;
      throw new StoreError('the database is locked');
    },
  });
  await using bench = new DomainBench(store);
  const { agent, upload } = await bench.preparing();
  const handle = () => prepared(bench.context, agent.session, preparedMessage(upload));
  await assert.rejects(handle, StoreError);
  await assert.rejects(handle, StoreError);
  assert.equal(refusals, 2);
  assert.equal(bench.bucket.uploads.size, 0);
  await handle();
  const { status, attempt } = await bench.upload(upload.uploadId);
  assert.deepEqual([status, attempt], ['uploading', 1]);
  assert.equal(bench.bucket.uploads.size, 1);
});
