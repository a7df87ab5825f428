import assert from 'node:assert/strict';
import { once } from 'node:events';
import { appendFile, chmod, open, rename, truncate, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import {
  AgentFixture,
  downloadMessage,
  MiB,
  prepareMessage,
  runUpload,
  signOnRequest,
  urlWindow,
} from '../../../../test/harness/agent/agent-fixture.ts';
import { within } from '../../../../test/doubles/fake-server.ts';
import { sendError, readAll, refuse } from '../../../../test/doubles/fake-store.ts';
import { uuidv7 } from '../../../../test/harness/agent/uuid.ts';

test('an empty file is uploaded as one empty part', async () => {
  await using fixture = await AgentFixture.start();
  const { path } = await fixture.file('empty', 0);
  const final = await runUpload(await fixture.server.acceptAndWelcome(), fixture.store, path);
  assert.equal(final.status, 'completed');
  assert.equal(fixture.store.puts.length, 1);
  assert.equal(fixture.store.puts[0]?.headers['content-length'], '0');
  assert.equal(fixture.store.puts[0]?.headers['x-amz-checksum-crc32'], 'AAAAAA==');
});

test('an empty file whose object the server writes is verified, and nothing is sent', async () => {
  await using fixture = await AgentFixture.start();
  const { path } = await fixture.file('empty', 0);
  const session = await fixture.server.acceptAndWelcome();
  session.send(prepareMessage(path));
  const requested = await session.next('prepared');
  const download = downloadMessage(path, requested, fixture.store);
  const config = { ...download.upload_config, kind: 'empty' as const, presigned_urls: [] };
  session.send({ ...download, upload_config: config });
  session.send({ ...download, upload_config: config });
  const final = await session.next('completed', 'failed');
  assert.equal(final.status, 'completed');
  assert.deepEqual([final.size, final.parts], [0, []]);
  assert.equal(final.sha256, 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855');
  assert.equal(fixture.store.puts.length, 0);
});

test('an empty file that grows before its object is written is file_changed', async () => {
  await using fixture = await AgentFixture.start();
  const { path } = await fixture.file('empty', 0);
  const session = await fixture.server.acceptAndWelcome();
  session.send(prepareMessage(path));
  const requested = await session.next('prepared');
  await appendFile(path, 'grown');
  const download = downloadMessage(path, requested, fixture.store);
  session.send({
    ...download,
    upload_config: { ...download.upload_config, kind: 'empty', presigned_urls: [] },
  });
  const final = await session.next('completed', 'failed');
  assert.equal(final.status === 'failed' && final.error, 'file_changed');
});

test('a file that is not empty is never stored as an empty object', async () => {
  await using fixture = await AgentFixture.start();
  const { path } = await fixture.file('one', 1);
  const session = await fixture.server.acceptAndWelcome();
  session.send(prepareMessage(path));
  const requested = await session.next('prepared');
  const download = downloadMessage(path, requested, fixture.store);
  session.send({
    ...download,
    upload_config: { ...download.upload_config, kind: 'empty', presigned_urls: [] },
  });
  const final = await session.next('completed', 'failed');
  assert.equal(final.status === 'failed' && final.error, 'protocol_error');
});

test('a part is one PUT with its length and exactly the signed headers', async () => {
  await using fixture = await AgentFixture.start();
  const { path } = await fixture.file('one', 1000);
  await runUpload(await fixture.server.acceptAndWelcome(), fixture.store, path);
  const [put] = fixture.store.puts;
  assert.equal(put?.method, 'PUT');
  const { host, connection, ...rest } = put?.headers ?? {};
  assert.ok(host !== undefined && connection !== undefined);
  assert.deepEqual(Object.keys(rest).sort(), ['content-length', 'x-amz-checksum-crc32']);
});

test('windows are requested ahead, and each part is sent once', async () => {
  await using fixture = await AgentFixture.start();
  const { path, content } = await fixture.file('many', 23 * 5 * MiB + 7);
  const session = await fixture.server.acceptAndWelcome();
  const final = await runUpload(session, fixture.store, path, { windowSize: 4 });
  assert.equal(final.status, 'completed');
  assert.equal(fixture.store.puts.length, 24);
  assert.ok(fixture.store.object().equals(content));
  const requested = session.received.flatMap((message) =>
    message.status === 'parts_ready' ? [message.parts.length] : [],
  );
  assert.ok(
    requested.every((count) => count <= 4),
    `windows of ${requested.join()}`,
  );
  assert.equal(
    requested.reduce((sum, count) => sum + count, 0),
    20,
    'no part is requested twice',
  );
});

test('only a few parts are hashed before the first PUT, however large the window', async () => {
  await using fixture = await AgentFixture.start();
  const { path } = await fixture.file('window', 9 * 5 * MiB);
  const session = await fixture.server.acceptAndWelcome();
  session.send(prepareMessage(path, { windowSize: 64 }));
  const { parts } = await session.next('prepared');
  assert.deepEqual(
    parts.map(({ part_number: number }) => number),
    [1, 2, 3, 4],
  );
});

for (const [mode, field] of [
  ['sha256', 'sha256'],
  ['md5', 'md5'],
] as const) {
  test(`in ${mode} mode each part is announced with its ${field} and its CRC32`, async () => {
    await using fixture = await AgentFixture.start();
    const { path } = await fixture.file('hashed', 6 * MiB);
    const session = await fixture.server.acceptAndWelcome();
    session.send(prepareMessage(path, { checksumMode: mode }));
    const { parts } = await session.next('prepared');
    assert.equal(parts.length, 2);
    for (const part of parts) assert.ok(part[field] !== undefined && part.crc32 !== '');
  });
}

test('a repeated prepare_upload gets the same response and opens one transfer', async () => {
  await using fixture = await AgentFixture.start();
  const { path } = await fixture.file('twice', 10);
  const session = await fixture.server.acceptAndWelcome();
  const message = prepareMessage(path);
  session.send(message);
  const first = await session.next('prepared');
  session.send(message);
  assert.deepEqual(await session.next('prepared'), first);
});

test('a repeated download_file sends each part once', async () => {
  await using fixture = await AgentFixture.start();
  const { path } = await fixture.file('twice', 11 * MiB);
  const session = await fixture.server.acceptAndWelcome();
  session.send(prepareMessage(path));
  const prepared = await session.next('prepared');
  session.send(downloadMessage(path, prepared, fixture.store));
  session.send(downloadMessage(path, prepared, fixture.store));
  assert.equal((await session.next('completed')).status, 'completed');
  session.send(downloadMessage(path, prepared, fixture.store));
  assert.equal((await session.next('completed')).status, 'completed', 'the final message is repeated');
  assert.equal(fixture.store.puts.length, 3);
});

test('a newer attempt replaces the older one, and an older one is ignored', async () => {
  await using fixture = await AgentFixture.start({ config: { maxUploads: 1 } });
  const { path } = await fixture.file('again', 10);
  const session = await fixture.server.acceptAndWelcome();
  const uploadId = uuidv7();
  session.send(prepareMessage(path, { uploadId, attempt: 2 }));
  assert.equal((await session.next('prepared')).attempt, 2);
  session.send(prepareMessage(path, { uploadId, attempt: 3 }));
  assert.equal((await session.next('prepared')).attempt, 3);
  session.send(prepareMessage(path, { uploadId, attempt: 2 }));
  session.send(prepareMessage(path, { uploadId, attempt: 3 }));
  assert.equal((await session.next('prepared', 'failed')).attempt, 3);
});

test('uploads over the limit fail with agent_busy until a slot is free', async () => {
  await using fixture = await AgentFixture.start({ config: { maxUploads: 1 } });
  const { path } = await fixture.file('busy', 10);
  const session = await fixture.server.acceptAndWelcome();
  const first = prepareMessage(path);
  session.send(first);
  await session.next('prepared');
  const second = prepareMessage(path);
  session.send(second);
  assert.equal((await session.next('failed')).error, 'agent_busy');
  session.send({ action: 'cancel_upload', upload_id: first.upload_id, attempt: 1, reason: 'test' });
  session.send(second);
  assert.equal((await session.next('prepared')).upload_id, second.upload_id);
});

test('a prepared upload that is not started in time is cancelled', async () => {
  await using fixture = await AgentFixture.start({ config: { maxUploads: 1 } });
  const { path } = await fixture.file('late', 10);
  const session = await fixture.server.acceptAndWelcome();
  session.send(prepareMessage(path, { expiresInMs: 30 }));
  const prepared = await session.next('prepared');
  while (!fixture.log.some((line) => line.includes('prepared upload timed out'))) await delay(5);
  session.send(downloadMessage(path, prepared, fixture.store));
  assert.equal((await session.next('failed')).error, 'agent_fault');
  session.send(prepareMessage(path));
  await session.next('prepared');
});

test('a file over the server’s or the owner’s limit is refused', async () => {
  await using fixture = await AgentFixture.start({ config: { maxFileSize: 1000 } });
  const { path: large } = await fixture.file('large', 1001);
  const { path: small } = await fixture.file('small', 1000);
  const session = await fixture.server.acceptAndWelcome();
  session.send(prepareMessage(large));
  assert.equal((await session.next('failed')).error, 'file_too_large');
  session.send(prepareMessage(small, { maxFileSize: 999 }));
  assert.equal((await session.next('failed')).error, 'file_too_large');
  session.send(prepareMessage(small, { maxFileSize: 1000 }));
  await session.next('prepared');
});

test('a different plan of the server is plan_mismatch', async () => {
  await using fixture = await AgentFixture.start();
  const { path } = await fixture.file('plan', 10);
  const session = await fixture.server.acceptAndWelcome();
  session.send(prepareMessage(path));
  const message = downloadMessage(path, await session.next('prepared'), fixture.store);
  session.send({ ...message, upload_config: { ...message.upload_config, chunk_size: 6 * MiB } });
  assert.equal((await session.next('failed')).error, 'plan_mismatch');
  assert.equal(fixture.store.puts.length, 0);
});

test('a download_file without a prepared upload fails instead of being ignored', async () => {
  await using fixture = await AgentFixture.start();
  const { path } = await fixture.file('unknown', 10);
  const session = await fixture.server.acceptAndWelcome();
  session.send(prepareMessage(path));
  const prepared = await session.next('prepared');
  session.send(downloadMessage(path, { ...prepared, upload_id: uuidv7() }, fixture.store));
  assert.equal((await session.next('failed')).error, 'agent_fault');
});

test('a cancelled upload stops its PUTs and sends no more messages', async () => {
  await using fixture = await AgentFixture.start();
  const { path } = await fixture.file('cancel', 11 * MiB);
  const session = await fixture.server.acceptAndWelcome();
  const started = Promise.withResolvers<void>();
  const aborted = Promise.withResolvers<void>();
  fixture.store.fault = (put, request) => {
    request.resume(); // The close of a socket is detected only while it is read.
    started.resolve();
    put.socket.once('close', () => aborted.resolve());
    return true;
  };
  const message = prepareMessage(path);
  session.send(message);
  const prepared = await session.next('prepared');
  session.send(downloadMessage(path, prepared, fixture.store));
  await started.promise;
  session.send({ action: 'cancel_upload', upload_id: message.upload_id, attempt: 1, reason: 'test' });
  await aborted.promise;
  session.send(message);
  await session.settled();
  assert.deepEqual(
    session.received.map(({ status }) => status),
    ['hello', 'prepared', 'result'],
  );
});

test('an upload that is cancelled after its final message sends nothing more', async () => {
  await using fixture = await AgentFixture.start();
  const { path } = await fixture.file('over', 10);
  const session = await fixture.server.acceptAndWelcome();
  const { upload_id, attempt } = await runUpload(session, fixture.store, path);
  session.send({ action: 'cancel_upload', upload_id, attempt, reason: 'test' });
  session.send(prepareMessage(path, { uploadId: upload_id, attempt }));
  await session.settled();
  assert.equal(session.received.at(-1)?.status, 'result');
  assert.equal(session.received.filter(({ status }) => status === 'completed').length, 1);
});

test('a lost connection does not stop PUTs, and all messages are repeated after the next welcome', async () => {
  await using fixture = await AgentFixture.start();
  const { path, content } = await fixture.file('lost', 4 * 5 * MiB);
  const first = await fixture.server.acceptAndWelcome();
  const held: Array<() => void> = [];
  const allHeld = Promise.withResolvers<void>();
  fixture.store.fault = async (put) => {
    // The first part shows that the network is fast enough for all others at the same time.
    if (put.partNumber === 1) return false;
    await new Promise<void>((resolve) => {
      held.push(resolve);
      if (held.length === 3) allHeld.resolve();
    });
    return false;
  };
  const message = prepareMessage(path);
  first.send(message);
  first.send(downloadMessage(path, await first.next('prepared'), fixture.store));
  await allHeld.promise;
  first.socket.terminate();

  const second = await fixture.server.accept();
  assert.deepEqual((await second.next('hello')).running, [{ upload_id: message.upload_id, attempt: 1 }]);
  // All PUTs complete before welcome, so `completed` cannot be sent yet.
  fixture.store.fault = () => false;
  for (const release of held) release();
  while (!fixture.log.some((line) => line.includes('all parts sent'))) {
    await delay(5);
  }
  second.welcome([{ upload_id: message.upload_id, attempt: 1, verdict: 'continue' }]);
  assert.equal((await second.next('completed')).parts.length, 4);
  assert.equal(fixture.store.puts.length, 4, 'exactly one PUT per part');
  assert.ok(fixture.store.object().equals(content));
});

test('after a reconnect during a transfer, stored parts are reported and open requests repeated', async () => {
  await using fixture = await AgentFixture.start();
  const { path } = await fixture.file('resume', 6 * 5 * MiB);
  const first = await fixture.server.acceptAndWelcome();
  const message = prepareMessage(path, { windowSize: 2 });
  first.send(message);
  first.send(downloadMessage(path, await first.next('prepared'), fixture.store));
  // The request for part 3 and later parts gets no response on this connection.
  const requested = await first.next('parts_ready');
  await first.next('part_uploaded');
  while (fixture.store.stored.size < 2) await delay(5);
  first.socket.terminate();

  const second = await fixture.server.acceptAndWelcome();
  const reported = await second.next('part_uploaded');
  assert.deepEqual(
    reported.parts.map(({ part_number }) => part_number),
    [1, 2],
  );
  const again = await second.next('parts_ready');
  assert.deepEqual(again.parts.slice(0, requested.parts.length), requested.parts);
  signOnRequest(second, fixture.store);
  const { upload_id, attempt, parts } = again;
  second.send({ action: 'part_urls', upload_id, attempt, ...urlWindow(fixture.store, parts) });
  await second.next('completed');
  assert.equal(fixture.store.puts.length, 6);
});

test('a lost `completed` is repeated after each welcome, until the server drops the upload', async () => {
  await using fixture = await AgentFixture.start();
  const { path } = await fixture.file('word', 10);
  const first = await fixture.server.acceptAndWelcome();
  const final = await runUpload(first, fixture.store, path);
  first.socket.terminate();
  const second = await fixture.server.acceptAndWelcome('continue');
  assert.deepEqual(await second.next('completed'), final);
  second.socket.terminate();
  const third = await fixture.server.acceptAndWelcome('drop');
  await third.settled();
  third.socket.terminate();
  const fourth = await fixture.server.accept();
  assert.deepEqual((await fourth.next('hello')).running, []);
});

test('a final message that could not be sent is not forgotten', async () => {
  await using fixture = await AgentFixture.start({ timings: { rememberMs: 30 } });
  const { path } = await fixture.file('unheard', 10);
  const first = await fixture.server.acceptAndWelcome();
  const message = prepareMessage(path);
  fixture.store.fault = async () => {
    first.socket.terminate();
    await hello.promise;
    return false;
  };
  const hello = Promise.withResolvers<void>();
  first.send(message);
  first.send(downloadMessage(path, await first.next('prepared'), fixture.store));
  const second = await fixture.server.accept();
  await second.next('hello');
  hello.resolve();
  while (!fixture.log.some((line) => line.includes('all parts sent'))) await delay(5);
  await delay(100); // Several times `rememberMs`.
  second.welcome([{ upload_id: message.upload_id, attempt: 1, verdict: 'continue' }]);
  await second.next('completed');
  await delay(100);
  second.socket.terminate();
  const third = await fixture.server.accept();
  assert.deepEqual((await third.next('hello')).running, [], 'once sent, it is forgotten after a while');
});

test('an upload that the server drops in welcome is stopped', async () => {
  await using fixture = await AgentFixture.start();
  const { path } = await fixture.file('drop', 6 * MiB);
  const first = await fixture.server.acceptAndWelcome();
  const closed = Promise.withResolvers<void>();
  const started = Promise.withResolvers<void>();
  fixture.store.fault = (put, request) => {
    request.resume();
    put.socket.once('close', () => closed.resolve());
    started.resolve();
    return true;
  };
  first.send(prepareMessage(path));
  first.send(downloadMessage(path, await first.next('prepared'), fixture.store));
  await started.promise;
  first.socket.terminate();
  const second = await fixture.server.acceptAndWelcome('drop');
  await closed.promise;
  await second.settled();
  assert.equal(fixture.app.activeUploads, 0);
});

test('a burst of 503 is retried on new connections, and the retries are reported', async () => {
  await using fixture = await AgentFixture.start();
  const { path, content } = await fixture.file('burst', 2 * 5 * MiB);
  const sockets = new Set<unknown>();
  let reused = 0;
  fixture.store.fault = async (put, request, response) => {
    if (put.try > 1 && sockets.has(put.socket)) reused += 1;
    sockets.add(put.socket);
    return put.try <= 3 ? refuse(request, response, 503, 'SlowDown') : false;
  };
  const session = await fixture.server.acceptAndWelcome();
  const final = await runUpload(session, fixture.store, path);
  assert.equal(final.status, 'completed');
  assert.ok(fixture.store.object().equals(content));
  assert.equal(fixture.store.puts.length, 8);
  assert.equal(reused, 0, 'no retry reuses a connection');
  const reports = session.received.filter((message) => message.status === 'part_uploaded');
  assert.equal(reports.at(-1)?.retries, 6);
});

test('a store that stays unavailable is storage_unavailable after a limited number of tries', async () => {
  await using fixture = await AgentFixture.start({ timings: { maxFailures: 3 } });
  const { path } = await fixture.file('away', 10);
  fixture.store.fault = (_put, request, response) => refuse(request, response, 500, 'InternalError');
  const final = await runUpload(await fixture.server.acceptAndWelcome(), fixture.store, path);
  assert.ok(final.status === 'failed');
  assert.equal(final.error, 'storage_unavailable');
  // A failure whose pong arrived after the start of the next try does not count.
  assert.ok(fixture.store.puts.length >= 3);
});

test('failures do not count while the server is also unreachable', async () => {
  await using fixture = await AgentFixture.start({ timings: { maxFailures: 2 } });
  const { path } = await fixture.file('outage', 10);
  const first = await fixture.server.acceptAndWelcome();
  const enough = Promise.withResolvers<void>();
  fixture.store.fault = (put, request, response) => {
    first.socket.terminate();
    if (put.try === 6) enough.resolve();
    return put.try <= 6 ? refuse(request, response, 503, 'SlowDown') : false;
  };
  first.send(prepareMessage(path));
  first.send(downloadMessage(path, await first.next('prepared'), fixture.store));
  const second = await fixture.server.accept();
  await within(10_000, 'more PUTs', enough.promise);
  const { running } = await second.next('hello');
  second.welcome(running.map((upload) => ({ ...upload, verdict: 'continue' })));
  assert.equal((await second.next('completed', 'failed')).status, 'completed');
});

test('failures do not count while no data arrives from the server, although the connection is open', async () => {
  await using fixture = await AgentFixture.start({ timings: { maxFailures: 2 } });
  const { path } = await fixture.file('silent', 10);
  const session = await fixture.server.acceptAndWelcome();
  fixture.store.fault = (put, request, response) => {
    if (put.try < 8) session.socket.pause(); // Responds to no ping.
    else session.socket.resume();
    return put.try <= 8 ? refuse(request, response, 503, 'SlowDown') : false;
  };
  const final = await runUpload(session, fixture.store, path);
  assert.equal(final.status, 'completed');
  assert.equal(fixture.store.puts.length, 9);
});

test('a store does not count as unavailable before a long time without a stored part', async () => {
  await using fixture = await AgentFixture.start({ timings: { maxFailures: 2, unavailableAfterMs: 400 } });
  const { path } = await fixture.file('patient', 10);
  fixture.store.fault = (_put, request, response) => refuse(request, response, 503, 'SlowDown');
  const started = performance.now();
  const final = await runUpload(await fixture.server.acceptAndWelcome(), fixture.store, path);
  assert.ok(final.status === 'failed');
  assert.equal(final.error, 'storage_unavailable');
  assert.ok(performance.now() - started >= 400);
});

for (const { status, code, message, error } of [
  { status: 403, code: 'SignatureDoesNotMatch', message: '', error: 'storage_refused' },
  { status: 403, code: 'AccessDenied', message: 'Access Denied', error: 'storage_refused' },
  { status: 404, code: 'NoSuchUpload', message: '', error: 'upload_gone' },
  { status: 404, code: 'NoSuchBucket', message: '', error: 'storage_refused' },
  { status: 501, code: 'NotImplemented', message: '', error: 'storage_refused' },
  { status: 307, code: 'TemporaryRedirect', message: '', error: 'storage_refused' },
]) {
  test(`${status} ${code} ends the upload immediately with ${error}`, async () => {
    await using fixture = await AgentFixture.start();
    const { path } = await fixture.file('refused', 10);
    fixture.store.fault = (_put, request, response) => {
      response.setHeader('location', fixture.store.url(1));
      return refuse(request, response, status, code, message);
    };
    const final = await runUpload(await fixture.server.acceptAndWelcome(), fixture.store, path);
    assert.ok(final.status === 'failed');
    assert.equal(final.error, error);
    assert.match(final.message, new RegExp(code));
    assert.equal(fixture.store.puts.length, 1, 'no retry, no redirect followed');
  });
}

for (const { status, code, message } of [
  { status: 403, code: 'AccessDenied', message: 'Request has expired' },
  { status: 400, code: 'ExpiredToken', message: '' },
  { status: 403, code: 'RequestTimeTooSkewed', message: '' },
  { status: 403, code: 'AccessDenied', message: 'Request is not valid yet' },
]) {
  test(`${code} ${message} requests a new URL and does not count as a failure`, async () => {
    await using fixture = await AgentFixture.start({ timings: { maxFailures: 1 } });
    const { path } = await fixture.file('expired', 2 * 5 * MiB);
    fixture.store.fault = async (put, request, response) =>
      put.try === 1 ? refuse(request, response, status, code, message) : false;
    const session = await fixture.server.acceptAndWelcome();
    const final = await runUpload(session, fixture.store, path);
    assert.equal(final.status, 'completed');
    assert.equal(fixture.store.puts.length, 4);
    assert.ok(session.received.some(({ status }) => status === 'parts_ready'));
  });
}

test('URLs that are always rejected as expired end the attempt with storage_unavailable', async () => {
  await using fixture = await AgentFixture.start();
  const { path } = await fixture.file('skew', 10);
  fixture.store.fault = (_put, request, response) =>
    refuse(request, response, 403, 'AccessDenied', 'Request has expired');
  const final = await runUpload(await fixture.server.acceptAndWelcome(), fixture.store, path);
  assert.ok(final.status === 'failed');
  assert.equal(final.error, 'storage_unavailable');
  assert.match(final.message, /the server's clock/);
});

test('stale URLs are renewed and not used', async () => {
  await using fixture = await AgentFixture.start({ config: { parallelParts: 1 } });
  const { path, content } = await fixture.file('old', 3 * 5 * MiB);
  const session = await fixture.server.acceptAndWelcome();
  const usedAt: Array<{ part: number; signature: string | null }> = [];
  fixture.store.fault = async (put, request) => {
    usedAt.push({
      part: put.partNumber,
      signature: new URL(request.url ?? '', fixture.store.origin).searchParams.get('issue'),
    });
    if (put.partNumber === 1) await once(session.socket, 'message'); // until the renewal is requested
    return false;
  };
  session.send(prepareMessage(path));
  const message = downloadMessage(path, await session.next('prepared'), fixture.store, 200);
  const marked = (urls: typeof message.upload_config.presigned_urls, issue: string) =>
    urls.map((url) => ({ ...url, url: `${url.url}&issue=${issue}` }));
  session.send({
    ...message,
    upload_config: {
      ...message.upload_config,
      presigned_urls: marked(message.upload_config.presigned_urls, 'first'),
    },
  });
  const requested = await session.next('parts_ready');
  assert.deepEqual(
    requested.parts.map(({ part_number }) => part_number),
    [2, 3],
  );
  const window = urlWindow(fixture.store, requested.parts);
  session.send({
    action: 'part_urls',
    upload_id: requested.upload_id,
    attempt: 1,
    ...window,
    presigned_urls: marked(window.presigned_urls, 'second'),
  });
  await session.next('completed');
  assert.deepEqual(usedAt, [
    { part: 1, signature: 'first' },
    { part: 2, signature: 'second' },
    { part: 3, signature: 'second' },
  ]);
  assert.ok(fixture.store.object().equals(content));
});

test('a request for URLs without a response is repeated', async () => {
  await using fixture = await AgentFixture.start({ timings: { urlResponseMs: 50 } });
  const { path } = await fixture.file('no-response', 2 * 5 * MiB);
  const session = await fixture.server.acceptAndWelcome();
  session.send(prepareMessage(path, { windowSize: 1 }));
  session.send(downloadMessage(path, await session.next('prepared'), fixture.store));
  await session.next('parts_ready');
  const { upload_id, attempt, parts } = await session.next('parts_ready');
  session.send({ action: 'part_urls', upload_id, attempt, ...urlWindow(fixture.store, parts) });
  await session.next('completed');
});

test('the connection to a store that stops reading is replaced', async () => {
  await using fixture = await AgentFixture.start({ timings: { stallMs: 150 } });
  const { path, content } = await fixture.file('stall', 2 * 5 * MiB);
  let stalled = 0;
  fixture.store.fault = (put, request) => {
    if (put.try > 1) return false;
    stalled += 1;
    request.pause();
    return true;
  };
  const final = await runUpload(await fixture.server.acceptAndWelcome(), fixture.store, path);
  assert.equal(final.status, 'completed');
  assert.equal(stalled, 2);
  assert.ok(fixture.store.object().equals(content));
});

test('a slow store is not treated as stopped', async () => {
  await using fixture = await AgentFixture.start({ timings: { stallMs: 250 }, config: { parallelParts: 1 } });
  const { path, content } = await fixture.file('crawl', 5 * MiB);
  let readMs = 0;
  fixture.store.fault = async (put, request, response) => {
    const started = performance.now();
    const chunks: Buffer[] = [];
    for await (const chunk of request) {
      chunks.push(chunk as Buffer);
      await delay(20);
    }
    readMs = performance.now() - started;
    fixture.store.stored.set(put.partNumber, Buffer.concat(chunks));
    response.writeHead(200, { etag: '"slow"' }).end();
    return true;
  };
  const final = await runUpload(await fixture.server.acceptAndWelcome(), fixture.store, path);
  assert.equal(final.status, 'completed');
  assert.ok(readMs > 1000, `one slice took longer than the timeout: ${readMs} ms for five`);
  assert.equal(fixture.store.puts.length, 1);
  assert.ok(fixture.store.object().equals(content));
});

test('the connection to a store that never responds to a body is replaced', async () => {
  await using fixture = await AgentFixture.start({ timings: { responseMs: 100 } });
  const { path } = await fixture.file('silent', 100);
  fixture.store.fault = async (put, request) => {
    if (put.try > 1) return false;
    await readAll(request);
    return true;
  };
  const final = await runUpload(await fixture.server.acceptAndWelcome(), fixture.store, path);
  assert.equal(final.status, 'completed');
  assert.equal(fixture.store.puts.length, 2);
});

test('a closed kept-alive connection does not count as a failure', async () => {
  await using fixture = await AgentFixture.start({
    config: { parallelParts: 1 },
    timings: { maxFailures: 1 },
  });
  const { path } = await fixture.file('reset', 2 * 5 * MiB);
  let resets = 0;
  fixture.store.fault = (put) => {
    if (put.partNumber !== 2 || put.try > 1) return false;
    resets += 1;
    put.socket.resetAndDestroy();
    return true;
  };
  const final = await runUpload(await fixture.server.acceptAndWelcome(), fixture.store, path);
  assert.equal(final.status, 'completed', JSON.stringify(final));
  assert.equal(resets, 1);
});

test('a response during the body ends the PUT and is used', async () => {
  await using fixture = await AgentFixture.start();
  const { path } = await fixture.file('early', 5 * MiB);
  fixture.store.fault = (_put, _request, response) => {
    sendError(response, 403, 'SignatureDoesNotMatch');
    return true;
  };
  const final = await runUpload(await fixture.server.acceptAndWelcome(), fixture.store, path);
  assert.ok(final.status === 'failed');
  assert.equal(final.error, 'storage_refused');
});

test('an incomplete early response counts as a normal failure', async () => {
  // At this rate the third write waits; the response arrives and closes meanwhile.
  await using fixture = await AgentFixture.start({ config: { maxRate: () => 100_000 } });
  const { path, content } = await fixture.file('broken-off', 30_000);
  let brokenOff = 0;
  fixture.store.fault = (put) => {
    if (put.try > 1) return false;
    brokenOff += 1;
    put.socket.end('HTTP/1.1 503 Slow Down\r\nContent-Length: 300\r\n\r\n<?xml');
    return true;
  };
  const final = await runUpload(await fixture.server.acceptAndWelcome(), fixture.store, path);
  assert.equal(final.status, 'completed');
  assert.equal(brokenOff, 1);
  assert.ok(fixture.store.object().equals(content));
});

test('an endless error document is classified by its beginning', async () => {
  await using fixture = await AgentFixture.start();
  const { path } = await fixture.file('endless', 10);
  fixture.store.fault = (_put, request, response) => {
    request.resume();
    response.writeHead(403).write(`<Code>SignatureDoesNotMatch</Code>${' '.repeat(10_000)}`);
    response.write(' '.repeat(10_000));
    return true;
  };
  const final = await runUpload(await fixture.server.acceptAndWelcome(), fixture.store, path);
  assert.ok(final.status === 'failed');
  assert.equal(final.error, 'storage_refused');
});

test('--parallel-parts limits the PUTs of all uploads together', async () => {
  await using fixture = await AgentFixture.start({ config: { parallelParts: 1 } });
  let running = 0;
  let most = 0;
  fixture.store.fault = async (put, request, response) => {
    most = Math.max(most, (running += 1));
    await readAll(request);
    await delay(5);
    running -= 1;
    response.writeHead(200, { etag: `"${put.try}"` }).end();
    return true;
  };
  const session = await fixture.server.acceptAndWelcome();
  for (const name of ['first', 'second']) {
    const { path } = await fixture.file(name, 11 * MiB);
    session.send(prepareMessage(path));
    session.send(downloadMessage(path, await session.next('prepared'), fixture.store));
  }
  for (let ends = 0; ends < 2; ends += 1) {
    assert.equal((await session.next('completed', 'failed')).status, 'completed');
  }
  assert.equal(most, 1);
});

test('no request is sent to an address that the agent’s policy refuses', async () => {
  await using fixture = await AgentFixture.start({
    config: { storageOrigins: ['https://bucket.example.com'] },
  });
  const { path } = await fixture.file('pinned', 10);
  const final = await runUpload(await fixture.server.acceptAndWelcome(), fixture.store, path);
  assert.ok(final.status === 'failed');
  assert.equal(final.error, 'storage_not_allowed');
  assert.equal(fixture.store.puts.length, 0);
});

test('bytes that the store rejects as damaged are read again, and repeated errors are checksum_mismatch', async () => {
  await using fixture = await AgentFixture.start();
  const { path } = await fixture.file('damaged', 100);
  fixture.store.fault = (_put, request, response) => refuse(request, response, 400, 'BadDigest');
  const final = await runUpload(await fixture.server.acceptAndWelcome(), fixture.store, path);
  assert.ok(final.status === 'failed');
  assert.equal(final.error, 'checksum_mismatch');
  assert.equal(fixture.store.puts.length, 3);
});

const changes: Array<{ how: string; change: (path: string) => Promise<void> }> = [
  { how: 'grows', change: (path) => appendFile(path, 'more') },
  { how: 'is cut', change: (path) => truncate(path, 100) },
  { how: 'is overwritten', change: (path) => writeFile(path, Buffer.alloc(11 * MiB)) },
  { how: 'is touched', change: (path) => utimes(path, new Date(0), new Date(0)) },
];
for (const { how, change } of changes) {
  test(`a file that ${how} between prepare and the PUTs is file_changed`, async () => {
    await using fixture = await AgentFixture.start();
    const { path } = await fixture.file('changing', 11 * MiB);
    const session = await fixture.server.acceptAndWelcome();
    session.send(prepareMessage(path));
    const prepared = await session.next('prepared');
    await change(path);
    session.send(downloadMessage(path, prepared, fixture.store));
    assert.equal((await session.next('completed', 'failed')).status, 'failed');
    assert.equal((session.received.at(-1) as { error?: string }).error, 'file_changed');
    assert.equal(fixture.store.stored.size, 0);
  });

  test(`a file that ${how} during the PUTs is file_changed`, async () => {
    await using fixture = await AgentFixture.start({ config: { parallelParts: 1 } });
    const { path } = await fixture.file('changing', 11 * MiB);
    fixture.store.fault = async (put) => {
      if (put.partNumber === 3) await change(path);
      return false;
    };
    const final = await runUpload(await fixture.server.acceptAndWelcome(), fixture.store, path);
    assert.ok(final.status === 'failed');
    assert.equal(final.error, 'file_changed');
  });
}

test('changed bytes with unchanged size and mtime are never stored completely', async () => {
  await using fixture = await AgentFixture.start();
  const { path, content } = await fixture.file('forged', 2 * 5 * MiB);
  const time = new Date(1_700_000_000_000);
  await utimes(path, time, time);
  const session = await fixture.server.acceptAndWelcome();
  session.send(prepareMessage(path, { checksumMode: 'none' }));
  const prepared = await session.next('prepared');
  content[7 * MiB] = (content[7 * MiB] ?? 0) ^ 1;
  await writeFile(path, content);
  await utimes(path, time, time);
  // A store that ignores checksums.
  const message = downloadMessage(path, prepared, fixture.store);
  for (const url of message.upload_config.presigned_urls) url.headers = {};
  session.send(message);
  assert.equal((await session.next('failed')).error, 'file_changed');
  assert.equal(fixture.store.stored.has(2), false);
});

test('a part that the store rejects is compared with its announced checksum before it is sent again', async () => {
  await using fixture = await AgentFixture.start();
  const { path, content } = await fixture.file('forged', 2 * 5 * MiB);
  const time = new Date(1_700_000_000_000);
  await utimes(path, time, time);
  const session = await fixture.server.acceptAndWelcome();
  session.send(prepareMessage(path));
  const prepared = await session.next('prepared');
  content[7 * MiB] = (content[7 * MiB] ?? 0) ^ 1;
  await writeFile(path, content);
  await utimes(path, time, time);
  fixture.store.fault = async (put, request, response) => {
    if (put.partNumber !== 2) return false;
    await readAll(request);
    return await refuse(request, response, 400, 'BadDigest');
  };
  session.send(downloadMessage(path, prepared, fixture.store));
  assert.equal((await session.next('failed')).error, 'file_changed');
  assert.deepEqual(fixture.store.puts.filter(({ partNumber }) => partNumber === 2).length, 2);
});

test('a part that is rewritten after it was sent, with its mtime restored, is file_changed', async () => {
  await using fixture = await AgentFixture.start({ config: { parallelParts: 1 } });
  const { path } = await fixture.file('put-back', 11 * MiB);
  const time = new Date(1_700_000_000_000);
  await utimes(path, time, time);
  fixture.store.fault = async (put) => {
    if (put.partNumber !== 2) return false;
    await using file = await open(path, 'r+');
    await file.write(Buffer.alloc(4096, 7), 0, 4096, 0);
    await file.utimes(time, time);
    return false;
  };
  const final = await runUpload(await fixture.server.acceptAndWelcome(), fixture.store, path);
  assert.ok(final.status === 'failed');
  assert.equal(final.error, 'file_changed');
});

test('chmod and rename during the PUTs change nothing', async () => {
  await using fixture = await AgentFixture.start({ config: { parallelParts: 1 } });
  const { path, content } = await fixture.file('renamed', 11 * MiB);
  fixture.store.fault = async (put) => {
    if (put.partNumber === 2) {
      await chmod(path, 0o640);
      await rename(path, join(fixture.directory, 'elsewhere'));
    }
    return false;
  };
  const final = await runUpload(await fixture.server.acceptAndWelcome(), fixture.store, path);
  assert.equal(final.status, 'completed');
  assert.ok(fixture.store.object().equals(content));
});

test('a file that is replaced during the PUTs is file_changed, except with prefix, as a rotated log', async () => {
  for (const onChange of ['fail', 'prefix'] as const) {
    await using fixture = await AgentFixture.start({ config: { parallelParts: 1 } });
    const { path, content } = await fixture.file('replaced', 11 * MiB);
    fixture.store.fault = async (put) => {
      if (put.partNumber !== 2) return false;
      await writeFile(join(fixture.directory, 'new'), content);
      await rename(join(fixture.directory, 'new'), path);
      return false;
    };
    const session = await fixture.server.acceptAndWelcome();
    const final = await runUpload(session, fixture.store, path, { onChange });
    assert.equal(final.status, onChange === 'prefix' ? 'completed' : 'failed', JSON.stringify(final));
    if (final.status === 'failed') assert.equal(final.error, 'file_changed');
    else assert.ok(fixture.store.object().equals(content));
  }
});

test('the log never contains a signature or the token', async () => {
  await using fixture = await AgentFixture.start();
  const { path } = await fixture.file('secret', 10);
  fixture.store.fault = async (put, request, response) =>
    put.try === 1 ? refuse(request, response, 503, 'SlowDown', fixture.store.url(1)) : false;
  await runUpload(await fixture.server.acceptAndWelcome(), fixture.store, path);
  assert.ok(fixture.log.some((line) => line.includes('PUT failed')));
  const leaks = fixture.log.filter((line) => /secret-signature|agent-token/.test(line));
  assert.deepEqual(leaks, []);
});

test('--max-rate limits the bytes per second of all uploads together', async () => {
  await using fixture = await AgentFixture.start({ config: { maxRate: () => 4 * MiB } });
  const first = await fixture.file('first', MiB);
  const second = await fixture.file('second', MiB);
  const session = await fixture.server.acceptAndWelcome();
  signOnRequest(session, fixture.store);
  const started = performance.now();
  for (const { path } of [first, second]) {
    session.send(prepareMessage(path));
    session.send(downloadMessage(path, await session.next('prepared'), fixture.store));
  }
  await session.next('completed');
  await session.next('completed');
  const seconds = (performance.now() - started) / 1000;
  assert.ok(seconds > 0.35 && seconds < 3, `2 MiB at 4 MiB/s took ${seconds.toFixed(2)} s`);
});

test('the idle timeout does not fire while the rate limit holds the body back', async () => {
  await using fixture = await AgentFixture.start({
    config: { maxRate: () => 8192 },
    timings: { stallMs: 50 },
  });
  const { path } = await fixture.file('slow', 5000);
  const final = await runUpload(await fixture.server.acceptAndWelcome(), fixture.store, path);
  assert.equal(final.status, 'completed');
  assert.equal(fixture.store.puts.length, 1);
});

test('limits of an upload apply within those of the owner', async () => {
  await using fixture = await AgentFixture.start({ config: { parallelParts: 2, maxRate: () => 40 * MiB } });
  const { path, content } = await fixture.file('limited', 4 * 5 * MiB);
  let [now, most] = [0, 0];
  fixture.store.fault = async () => {
    now += 1;
    most = Math.max(most, now);
    await delay(20);
    now -= 1;
    return false;
  };
  const session = await fixture.server.acceptAndWelcome();
  const startedAt = performance.now();
  const slow = await runUpload(session, fixture.store, path, {
    limits: { parallel_parts: 1, max_rate: 10 * MiB },
  });
  const tookMs = performance.now() - startedAt;
  assert.equal(slow.status, 'completed');
  assert.ok(fixture.store.object().equals(content));
  assert.equal(most, 1);
  assert.ok(tookMs > 1700, `20 MiB at 10 MiB/s took ${tookMs} ms`);
  const before = performance.now();
  const wide = await runUpload(session, fixture.store, path, {
    limits: { parallel_parts: 64, max_rate: 1e12 },
  });
  assert.equal(wide.status, 'completed');
  assert.equal(most, 2, 'the owner’s --parallel-parts');
  assert.ok(performance.now() - before > 350, 'the owner’s --max-rate');
});

test('an upload slowed by its own limit occupies no slots that others wait for', async () => {
  await using fixture = await AgentFixture.start();
  const { path: large } = await fixture.file('large', 4 * 5 * MiB);
  const { path: small } = await fixture.file('small', 5 * MiB);
  const session = await fixture.server.acceptAndWelcome();
  // From now on the network is known to be fast.
  assert.equal((await runUpload(session, fixture.store, small)).status, 'completed');
  const before = fixture.store.puts.length;
  const slow = prepareMessage(large, { limits: { max_rate: 100_000 } });
  session.send(slow);
  const prepared = await session.next('prepared');
  session.send(downloadMessage(large, prepared, fixture.store));
  while (fixture.store.puts.length === before) await delay(5);
  assert.equal((await runUpload(session, fixture.store, small)).status, 'completed');
  assert.equal(fixture.store.puts.length, before + 2, 'one of each');
  session.send({ action: 'cancel_upload', upload_id: slow.upload_id, attempt: 1, reason: 'test' });
});
