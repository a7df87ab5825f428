import assert from 'node:assert/strict';
import { once } from 'node:events';
import { appendFile, chmod, open, rename, truncate, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import {
  AgentBench,
  downloadMessage,
  MiB,
  prepareMessage,
  pull,
  signOnRequest,
  urlWindow,
} from '../fakes/agent-bench.ts';
import { within } from '../fakes/fake-server.ts';
import { answerError, readAll, refuse } from '../fakes/fake-store.ts';
import { uuidv7 } from '../fakes/uuid.ts';

test('an empty file is one empty part', async () => {
  await using bench = await AgentBench.start();
  const { path } = await bench.file('empty', 0);
  const final = await pull(await bench.server.acceptAndWelcome(), bench.store, path);
  assert.equal(final.status, 'completed');
  assert.equal(bench.store.puts.length, 1);
  assert.equal(bench.store.puts[0]?.headers['content-length'], '0');
  assert.equal(bench.store.puts[0]?.headers['x-amz-checksum-crc32'], 'AAAAAA==');
});

test('an empty file whose object the server writes is read and confirmed, and nothing is sent', async () => {
  await using bench = await AgentBench.start();
  const { path } = await bench.file('empty', 0);
  const session = await bench.server.acceptAndWelcome();
  session.send(prepareMessage(path));
  const asked = await session.next('prepared');
  const download = downloadMessage(path, asked, bench.store);
  const config = { ...download.upload_config, kind: 'empty' as const, presigned_urls: [] };
  session.send({ ...download, upload_config: config });
  session.send({ ...download, upload_config: config });
  const final = await session.next('completed', 'failed');
  assert.equal(final.status, 'completed');
  assert.deepEqual([final.size, final.parts], [0, []]);
  assert.equal(final.sha256, 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855');
  assert.equal(bench.store.puts.length, 0);
});

test('an empty file that grows before its object is written is file_changed', async () => {
  await using bench = await AgentBench.start();
  const { path } = await bench.file('empty', 0);
  const session = await bench.server.acceptAndWelcome();
  session.send(prepareMessage(path));
  const asked = await session.next('prepared');
  await appendFile(path, 'grown');
  const download = downloadMessage(path, asked, bench.store);
  session.send({
    ...download,
    upload_config: { ...download.upload_config, kind: 'empty', presigned_urls: [] },
  });
  const final = await session.next('completed', 'failed');
  assert.equal(final.status === 'failed' && final.error, 'file_changed');
});

test('a file with bytes is never left to the server as an empty one', async () => {
  await using bench = await AgentBench.start();
  const { path } = await bench.file('one', 1);
  const session = await bench.server.acceptAndWelcome();
  session.send(prepareMessage(path));
  const asked = await session.next('prepared');
  const download = downloadMessage(path, asked, bench.store);
  session.send({
    ...download,
    upload_config: { ...download.upload_config, kind: 'empty', presigned_urls: [] },
  });
  const final = await session.next('completed', 'failed');
  assert.equal(final.status === 'failed' && final.error, 'protocol_error');
});

test('a part is one PUT with its length and exactly the headers that were signed', async () => {
  await using bench = await AgentBench.start();
  const { path } = await bench.file('one', 1000);
  await pull(await bench.server.acceptAndWelcome(), bench.store, path);
  const [put] = bench.store.puts;
  assert.equal(put?.method, 'PUT');
  const { host, connection, ...rest } = put?.headers ?? {};
  assert.ok(host !== undefined && connection !== undefined);
  assert.deepEqual(Object.keys(rest).sort(), ['content-length', 'x-amz-checksum-crc32']);
});

test('many windows are asked for ahead, and each part is sent once', async () => {
  await using bench = await AgentBench.start();
  const { path, content } = await bench.file('many', 23 * 5 * MiB + 7);
  const session = await bench.server.acceptAndWelcome();
  const final = await pull(session, bench.store, path, { windowSize: 4 });
  assert.equal(final.status, 'completed');
  assert.equal(bench.store.puts.length, 24);
  assert.ok(bench.store.object().equals(content));
  const asked = session.heard.flatMap((message) =>
    message.status === 'parts_ready' ? [message.parts.length] : [],
  );
  assert.ok(
    asked.every((count) => count <= 4),
    `windows of ${asked.join()}`,
  );
  assert.equal(
    asked.reduce((sum, count) => sum + count, 0),
    20,
    'no part is asked for twice',
  );
});

test('few parts are hashed before the first PUT, however large the window', async () => {
  await using bench = await AgentBench.start();
  const { path } = await bench.file('window', 9 * 5 * MiB);
  const session = await bench.server.acceptAndWelcome();
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
    await using bench = await AgentBench.start();
    const { path } = await bench.file('hashed', 6 * MiB);
    const session = await bench.server.acceptAndWelcome();
    session.send(prepareMessage(path, { checksumMode: mode }));
    const { parts } = await session.next('prepared');
    assert.equal(parts.length, 2);
    for (const part of parts) assert.ok(part[field] !== undefined && part.crc32 !== '');
  });
}

test('the same prepare_upload twice is answered twice and opens one transfer', async () => {
  await using bench = await AgentBench.start();
  const { path } = await bench.file('twice', 10);
  const session = await bench.server.acceptAndWelcome();
  const message = prepareMessage(path);
  session.send(message);
  const first = await session.next('prepared');
  session.send(message);
  assert.deepEqual(await session.next('prepared'), first);
});

test('the same download_file twice sends each part once', async () => {
  await using bench = await AgentBench.start();
  const { path } = await bench.file('twice', 11 * MiB);
  const session = await bench.server.acceptAndWelcome();
  session.send(prepareMessage(path));
  const prepared = await session.next('prepared');
  session.send(downloadMessage(path, prepared, bench.store));
  session.send(downloadMessage(path, prepared, bench.store));
  assert.equal((await session.next('completed')).status, 'completed');
  session.send(downloadMessage(path, prepared, bench.store));
  assert.equal((await session.next('completed')).status, 'completed', 'the last word is repeated');
  assert.equal(bench.store.puts.length, 3);
});

test('a newer attempt replaces the older one, and an older one is ignored', async () => {
  await using bench = await AgentBench.start({ config: { maxUploads: 1 } });
  const { path } = await bench.file('again', 10);
  const session = await bench.server.acceptAndWelcome();
  const uploadId = uuidv7();
  session.send(prepareMessage(path, { uploadId, attempt: 2 }));
  assert.equal((await session.next('prepared')).attempt, 2);
  session.send(prepareMessage(path, { uploadId, attempt: 3 }));
  assert.equal((await session.next('prepared')).attempt, 3);
  session.send(prepareMessage(path, { uploadId, attempt: 2 }));
  session.send(prepareMessage(path, { uploadId, attempt: 3 }));
  assert.equal((await session.next('prepared', 'failed')).attempt, 3);
});

test('uploads over the limit are refused as agent_busy until a place is free', async () => {
  await using bench = await AgentBench.start({ config: { maxUploads: 1 } });
  const { path } = await bench.file('busy', 10);
  const session = await bench.server.acceptAndWelcome();
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

test('a prepared upload that is not started in time is let go', async () => {
  await using bench = await AgentBench.start({ config: { maxUploads: 1 } });
  const { path } = await bench.file('late', 10);
  const session = await bench.server.acceptAndWelcome();
  session.send(prepareMessage(path, { expiresInMs: 30 }));
  const prepared = await session.next('prepared');
  while (!bench.log.some((line) => line.includes('let go'))) await delay(5);
  session.send(downloadMessage(path, prepared, bench.store));
  assert.equal((await session.next('failed')).error, 'agent_fault');
  session.send(prepareMessage(path));
  await session.next('prepared');
});

test('a file over the server’s or the owner’s limit is refused', async () => {
  await using bench = await AgentBench.start({ config: { maxFileSize: 1000 } });
  const { path: large } = await bench.file('large', 1001);
  const { path: small } = await bench.file('small', 1000);
  const session = await bench.server.acceptAndWelcome();
  session.send(prepareMessage(large));
  assert.equal((await session.next('failed')).error, 'file_too_large');
  session.send(prepareMessage(small, { maxFileSize: 999 }));
  assert.equal((await session.next('failed')).error, 'file_too_large');
  session.send(prepareMessage(small, { maxFileSize: 1000 }));
  await session.next('prepared');
});

test('a server with another plan is told plan_mismatch', async () => {
  await using bench = await AgentBench.start();
  const { path } = await bench.file('plan', 10);
  const session = await bench.server.acceptAndWelcome();
  session.send(prepareMessage(path));
  const message = downloadMessage(path, await session.next('prepared'), bench.store);
  session.send({ ...message, upload_config: { ...message.upload_config, chunk_size: 6 * MiB } });
  assert.equal((await session.next('failed')).error, 'plan_mismatch');
  assert.equal(bench.store.puts.length, 0);
});

test('a download_file that was never prepared fails instead of being ignored', async () => {
  await using bench = await AgentBench.start();
  const { path } = await bench.file('unknown', 10);
  const session = await bench.server.acceptAndWelcome();
  session.send(prepareMessage(path));
  const prepared = await session.next('prepared');
  session.send(downloadMessage(path, { ...prepared, upload_id: uuidv7() }, bench.store));
  assert.equal((await session.next('failed')).error, 'agent_fault');
});

test('a cancelled upload stops its PUTs and says nothing more', async () => {
  await using bench = await AgentBench.start();
  const { path } = await bench.file('cancel', 11 * MiB);
  const session = await bench.server.acceptAndWelcome();
  const begun = Promise.withResolvers<void>();
  const aborted = Promise.withResolvers<void>();
  bench.store.fault = (put, request) => {
    request.resume(); // A socket that is not read does not notice its end.
    begun.resolve();
    put.socket.once('close', () => aborted.resolve());
    return true;
  };
  const message = prepareMessage(path);
  session.send(message);
  const prepared = await session.next('prepared');
  session.send(downloadMessage(path, prepared, bench.store));
  await begun.promise;
  session.send({ action: 'cancel_upload', upload_id: message.upload_id, attempt: 1, reason: 'test' });
  await aborted.promise;
  session.send(message);
  await session.settled();
  assert.deepEqual(
    session.heard.map(({ status }) => status),
    ['hello', 'prepared', 'result'],
  );
});

test('an upload that is cancelled after its last word is not mentioned again', async () => {
  await using bench = await AgentBench.start();
  const { path } = await bench.file('over', 10);
  const session = await bench.server.acceptAndWelcome();
  const { upload_id, attempt } = await pull(session, bench.store, path);
  session.send({ action: 'cancel_upload', upload_id, attempt, reason: 'test' });
  session.send(prepareMessage(path, { uploadId: upload_id, attempt }));
  await session.settled();
  assert.equal(session.heard.at(-1)?.status, 'result');
  assert.equal(session.heard.filter(({ status }) => status === 'completed').length, 1);
});

test('a lost socket stops no PUT, and after the next welcome everything is said again', async () => {
  await using bench = await AgentBench.start();
  const { path, content } = await bench.file('lost', 4 * 5 * MiB);
  const first = await bench.server.acceptAndWelcome();
  const held: Array<() => void> = [];
  const allHeld = Promise.withResolvers<void>();
  bench.store.fault = async (put) => {
    // The first shows that the line is quick enough for all others at once.
    if (put.partNumber === 1) return false;
    await new Promise<void>((resolve) => {
      held.push(resolve);
      if (held.length === 3) allHeld.resolve();
    });
    return false;
  };
  const message = prepareMessage(path);
  first.send(message);
  first.send(downloadMessage(path, await first.next('prepared'), bench.store));
  await allHeld.promise;
  first.socket.terminate();

  const second = await bench.server.accept();
  assert.deepEqual((await second.next('hello')).running, [{ upload_id: message.upload_id, attempt: 1 }]);
  // All PUTs are answered while nobody is welcome: `completed` cannot be said yet.
  bench.store.fault = () => false;
  for (const release of held) release();
  while (!bench.log.some((line) => line.includes('all parts sent'))) {
    await delay(5);
  }
  second.welcome([{ upload_id: message.upload_id, attempt: 1, verdict: 'continue' }]);
  assert.equal((await second.next('completed')).parts.length, 4);
  assert.equal(bench.store.puts.length, 4, 'exactly one PUT per part');
  assert.ok(bench.store.object().equals(content));
});

test('after a reconnect amid a transfer all finished parts are reported and open requests repeated', async () => {
  await using bench = await AgentBench.start();
  const { path } = await bench.file('resume', 6 * 5 * MiB);
  const first = await bench.server.acceptAndWelcome();
  const message = prepareMessage(path, { windowSize: 2 });
  first.send(message);
  first.send(downloadMessage(path, await first.next('prepared'), bench.store));
  // The request for part 3 and on is never answered on this socket.
  const asked = await first.next('parts_ready');
  await first.next('part_uploaded');
  while (bench.store.stored.size < 2) await delay(5);
  first.socket.terminate();

  const second = await bench.server.acceptAndWelcome();
  const reported = await second.next('part_uploaded');
  assert.deepEqual(
    reported.parts.map(({ part_number }) => part_number),
    [1, 2],
  );
  const again = await second.next('parts_ready');
  assert.deepEqual(again.parts.slice(0, asked.parts.length), asked.parts);
  signOnRequest(second, bench.store);
  const { upload_id, attempt, parts } = again;
  second.send({ action: 'part_urls', upload_id, attempt, ...urlWindow(bench.store, parts) });
  await second.next('completed');
  assert.equal(bench.store.puts.length, 6);
});

test('a `completed` that got lost is repeated after the next welcome, until the server drops the upload', async () => {
  await using bench = await AgentBench.start();
  const { path } = await bench.file('word', 10);
  const first = await bench.server.acceptAndWelcome();
  const final = await pull(first, bench.store, path);
  first.socket.terminate();
  const second = await bench.server.acceptAndWelcome('continue');
  assert.deepEqual(await second.next('completed'), final);
  second.socket.terminate();
  const third = await bench.server.acceptAndWelcome('drop');
  await third.settled();
  third.socket.terminate();
  const fourth = await bench.server.accept();
  assert.deepEqual((await fourth.next('hello')).running, []);
});

test('a last word that no server was there to hear is not forgotten', async () => {
  await using bench = await AgentBench.start({ timings: { rememberMs: 30 } });
  const { path } = await bench.file('unheard', 10);
  const first = await bench.server.acceptAndWelcome();
  const message = prepareMessage(path);
  bench.store.fault = async () => {
    first.socket.terminate();
    await hello.promise;
    return false;
  };
  const hello = Promise.withResolvers<void>();
  first.send(message);
  first.send(downloadMessage(path, await first.next('prepared'), bench.store));
  const second = await bench.server.accept();
  await second.next('hello');
  hello.resolve();
  while (!bench.log.some((line) => line.includes('all parts sent'))) await delay(5);
  await delay(100); // Some times `rememberMs`.
  second.welcome([{ upload_id: message.upload_id, attempt: 1, verdict: 'continue' }]);
  await second.next('completed');
  await delay(100);
  second.socket.terminate();
  const third = await bench.server.accept();
  assert.deepEqual((await third.next('hello')).running, [], 'once said, it is forgotten in time');
});

test('an upload that the server drops at welcome is stopped', async () => {
  await using bench = await AgentBench.start();
  const { path } = await bench.file('drop', 6 * MiB);
  const first = await bench.server.acceptAndWelcome();
  const closed = Promise.withResolvers<void>();
  const begun = Promise.withResolvers<void>();
  bench.store.fault = (put, request) => {
    request.resume();
    put.socket.once('close', () => closed.resolve());
    begun.resolve();
    return true;
  };
  first.send(prepareMessage(path));
  first.send(downloadMessage(path, await first.next('prepared'), bench.store));
  await begun.promise;
  first.socket.terminate();
  const second = await bench.server.acceptAndWelcome('drop');
  await closed.promise;
  await second.settled();
  assert.equal(bench.app.activeUploads, 0);
});

test('a burst of 503 is ridden out on fresh connections, and the retries are reported', async () => {
  await using bench = await AgentBench.start();
  const { path, content } = await bench.file('burst', 2 * 5 * MiB);
  const sockets = new Set<unknown>();
  let reused = 0;
  bench.store.fault = async (put, request, response) => {
    if (put.try > 1 && sockets.has(put.socket)) reused += 1;
    sockets.add(put.socket);
    return put.try <= 3 ? refuse(request, response, 503, 'SlowDown') : false;
  };
  const session = await bench.server.acceptAndWelcome();
  const final = await pull(session, bench.store, path);
  assert.equal(final.status, 'completed');
  assert.ok(bench.store.object().equals(content));
  assert.equal(bench.store.puts.length, 8);
  assert.equal(reused, 0, 'no retry reuses a connection');
  const reports = session.heard.filter((message) => message.status === 'part_uploaded');
  assert.equal(reports.at(-1)?.retries, 6);
});

test('a store that stays away is storage_unavailable after a bounded number of tries', async () => {
  await using bench = await AgentBench.start({ timings: { maxFailures: 3 } });
  const { path } = await bench.file('away', 10);
  bench.store.fault = (_put, request, response) => refuse(request, response, 500, 'InternalError');
  const final = await pull(await bench.server.acceptAndWelcome(), bench.store, path);
  assert.ok(final.status === 'failed');
  assert.equal(final.error, 'storage_unavailable');
  // One whose pong came only after the next try had begun does not count.
  assert.ok(bench.store.puts.length >= 3);
});

test('failures do not count while the server is away as well', async () => {
  await using bench = await AgentBench.start({ timings: { maxFailures: 2 } });
  const { path } = await bench.file('outage', 10);
  const first = await bench.server.acceptAndWelcome();
  const enough = Promise.withResolvers<void>();
  bench.store.fault = (put, request, response) => {
    first.socket.terminate();
    if (put.try === 6) enough.resolve();
    return put.try <= 6 ? refuse(request, response, 503, 'SlowDown') : false;
  };
  first.send(prepareMessage(path));
  first.send(downloadMessage(path, await first.next('prepared'), bench.store));
  const second = await bench.server.accept();
  await within(10_000, 'PUTs to go on', enough.promise);
  const { running } = await second.next('hello');
  second.welcome(running.map((upload) => ({ ...upload, verdict: 'continue' })));
  assert.equal((await second.next('completed', 'failed')).status, 'completed');
});

test('failures do not count while nothing is heard from the server, although its socket is open', async () => {
  await using bench = await AgentBench.start({ timings: { maxFailures: 2 } });
  const { path } = await bench.file('dead-line', 10);
  const session = await bench.server.acceptAndWelcome();
  bench.store.fault = (put, request, response) => {
    if (put.try < 8) session.socket.pause(); // Answers no ping.
    else session.socket.resume();
    return put.try <= 8 ? refuse(request, response, 503, 'SlowDown') : false;
  };
  const final = await pull(session, bench.store, path);
  assert.equal(final.status, 'completed');
  assert.equal(bench.store.puts.length, 9);
});

test('a store is not given up before the transfer has stood still for long', async () => {
  await using bench = await AgentBench.start({ timings: { maxFailures: 2, patienceMs: 400 } });
  const { path } = await bench.file('patient', 10);
  bench.store.fault = (_put, request, response) => refuse(request, response, 503, 'SlowDown');
  const started = performance.now();
  const final = await pull(await bench.server.acceptAndWelcome(), bench.store, path);
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
  test(`${status} ${code} ends the upload at once as ${error}`, async () => {
    await using bench = await AgentBench.start();
    const { path } = await bench.file('refused', 10);
    bench.store.fault = (_put, request, response) => {
      response.setHeader('location', bench.store.url(1));
      return refuse(request, response, status, code, message);
    };
    const final = await pull(await bench.server.acceptAndWelcome(), bench.store, path);
    assert.ok(final.status === 'failed');
    assert.equal(final.error, error);
    assert.match(final.message, new RegExp(code));
    assert.equal(bench.store.puts.length, 1, 'no retry, no redirect followed');
  });
}

for (const { status, code, message } of [
  { status: 403, code: 'AccessDenied', message: 'Request has expired' },
  { status: 400, code: 'ExpiredToken', message: '' },
  { status: 403, code: 'RequestTimeTooSkewed', message: '' },
  { status: 403, code: 'AccessDenied', message: 'Request is not valid yet' },
]) {
  test(`${code} ${message} fetches a fresh URL and counts as no failure`, async () => {
    await using bench = await AgentBench.start({ timings: { maxFailures: 1 } });
    const { path } = await bench.file('expired', 2 * 5 * MiB);
    bench.store.fault = async (put, request, response) =>
      put.try === 1 ? refuse(request, response, status, code, message) : false;
    const session = await bench.server.acceptAndWelcome();
    const final = await pull(session, bench.store, path);
    assert.equal(final.status, 'completed');
    assert.equal(bench.store.puts.length, 4);
    assert.ok(session.heard.some(({ status }) => status === 'parts_ready'));
  });
}

test('URLs that are always called expired end the attempt, for the server to wait until its clock is right', async () => {
  await using bench = await AgentBench.start();
  const { path } = await bench.file('skew', 10);
  bench.store.fault = (_put, request, response) =>
    refuse(request, response, 403, 'AccessDenied', 'Request has expired');
  const final = await pull(await bench.server.acceptAndWelcome(), bench.store, path);
  assert.ok(final.status === 'failed');
  assert.equal(final.error, 'storage_unavailable');
  assert.match(final.message, /the server's clock/);
});

test('URLs that grow old before their part’s turn are renewed and not used', async () => {
  await using bench = await AgentBench.start({ config: { parallelParts: 1 } });
  const { path, content } = await bench.file('old', 3 * 5 * MiB);
  const session = await bench.server.acceptAndWelcome();
  const usedAt: Array<{ part: number; signature: string | null }> = [];
  bench.store.fault = async (put, request) => {
    usedAt.push({
      part: put.partNumber,
      signature: new URL(request.url ?? '', bench.store.origin).searchParams.get('issue'),
    });
    if (put.partNumber === 1) await once(session.socket, 'message'); // until the renewal is asked for
    return false;
  };
  session.send(prepareMessage(path));
  const message = downloadMessage(path, await session.next('prepared'), bench.store, 200);
  const marked = (urls: typeof message.upload_config.presigned_urls, issue: string) =>
    urls.map((url) => ({ ...url, url: `${url.url}&issue=${issue}` }));
  session.send({
    ...message,
    upload_config: {
      ...message.upload_config,
      presigned_urls: marked(message.upload_config.presigned_urls, 'first'),
    },
  });
  const asked = await session.next('parts_ready');
  assert.deepEqual(
    asked.parts.map(({ part_number }) => part_number),
    [2, 3],
  );
  const window = urlWindow(bench.store, asked.parts);
  session.send({
    action: 'part_urls',
    upload_id: asked.upload_id,
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
  assert.ok(bench.store.object().equals(content));
});

test('a request for URLs that gets no answer is repeated', async () => {
  await using bench = await AgentBench.start({ timings: { urlAnswerMs: 50 } });
  const { path } = await bench.file('unanswered', 2 * 5 * MiB);
  const session = await bench.server.acceptAndWelcome();
  session.send(prepareMessage(path, { windowSize: 1 }));
  session.send(downloadMessage(path, await session.next('prepared'), bench.store));
  await session.next('parts_ready');
  const { upload_id, attempt, parts } = await session.next('parts_ready');
  session.send({ action: 'part_urls', upload_id, attempt, ...urlWindow(bench.store, parts) });
  await session.next('completed');
});

test('a store that stops reading is left for a new connection', async () => {
  await using bench = await AgentBench.start({ timings: { stallMs: 150 } });
  const { path, content } = await bench.file('stall', 2 * 5 * MiB);
  let stalled = 0;
  bench.store.fault = (put, request) => {
    if (put.try > 1) return false;
    stalled += 1;
    request.pause();
    return true;
  };
  const final = await pull(await bench.server.acceptAndWelcome(), bench.store, path);
  assert.equal(final.status, 'completed');
  assert.equal(stalled, 2);
  assert.ok(bench.store.object().equals(content));
});

test('a store that reads slowly is not taken for one that stopped', async () => {
  await using bench = await AgentBench.start({ timings: { stallMs: 250 }, config: { parallelParts: 1 } });
  const { path, content } = await bench.file('crawl', 5 * MiB);
  let readMs = 0;
  bench.store.fault = async (put, request, response) => {
    const started = performance.now();
    const chunks: Buffer[] = [];
    for await (const chunk of request) {
      chunks.push(chunk as Buffer);
      await delay(20);
    }
    readMs = performance.now() - started;
    bench.store.stored.set(put.partNumber, Buffer.concat(chunks));
    response.writeHead(200, { etag: '"slow"' }).end();
    return true;
  };
  const final = await pull(await bench.server.acceptAndWelcome(), bench.store, path);
  assert.equal(final.status, 'completed');
  assert.ok(readMs > 1000, `one slice took longer than the time-out: ${readMs} ms for five`);
  assert.equal(bench.store.puts.length, 1);
  assert.ok(bench.store.object().equals(content));
});

test('a store that never answers a whole body is left for a new connection', async () => {
  await using bench = await AgentBench.start({ timings: { answerMs: 100 } });
  const { path } = await bench.file('silent', 100);
  bench.store.fault = async (put, request) => {
    if (put.try > 1) return false;
    await readAll(request);
    return true;
  };
  const final = await pull(await bench.server.acceptAndWelcome(), bench.store, path);
  assert.equal(final.status, 'completed');
  assert.equal(bench.store.puts.length, 2);
});

test('a kept-alive connection that was closed meanwhile costs no failure', async () => {
  await using bench = await AgentBench.start({ config: { parallelParts: 1 }, timings: { maxFailures: 1 } });
  const { path } = await bench.file('reset', 2 * 5 * MiB);
  let resets = 0;
  bench.store.fault = (put) => {
    if (put.partNumber !== 2 || put.try > 1) return false;
    resets += 1;
    put.socket.resetAndDestroy();
    return true;
  };
  const final = await pull(await bench.server.acceptAndWelcome(), bench.store, path);
  assert.equal(final.status, 'completed', JSON.stringify(final));
  assert.equal(resets, 1);
});

test('an answer amid the body ends the PUT and is believed', async () => {
  await using bench = await AgentBench.start();
  const { path } = await bench.file('early', 5 * MiB);
  bench.store.fault = (_put, _request, response) => {
    answerError(response, 403, 'SignatureDoesNotMatch');
    return true;
  };
  const final = await pull(await bench.server.acceptAndWelcome(), bench.store, path);
  assert.ok(final.status === 'failed');
  assert.equal(final.error, 'storage_refused');
});

test('an answer that breaks off before anybody looks at it is a failure like any other', async () => {
  // At this rate the third write waits, and meanwhile the answer comes and goes.
  await using bench = await AgentBench.start({ config: { maxRate: () => 100_000 } });
  const { path, content } = await bench.file('broken-off', 30_000);
  let brokenOff = 0;
  bench.store.fault = (put) => {
    if (put.try > 1) return false;
    brokenOff += 1;
    put.socket.end('HTTP/1.1 503 Slow Down\r\nContent-Length: 300\r\n\r\n<?xml');
    return true;
  };
  const final = await pull(await bench.server.acceptAndWelcome(), bench.store, path);
  assert.equal(final.status, 'completed');
  assert.equal(brokenOff, 1);
  assert.ok(bench.store.object().equals(content));
});

test('an error document that never ends is judged by its beginning', async () => {
  await using bench = await AgentBench.start();
  const { path } = await bench.file('endless', 10);
  bench.store.fault = (_put, request, response) => {
    request.resume();
    response.writeHead(403).write(`<Code>SignatureDoesNotMatch</Code>${' '.repeat(10_000)}`);
    response.write(' '.repeat(10_000));
    return true;
  };
  const final = await pull(await bench.server.acceptAndWelcome(), bench.store, path);
  assert.ok(final.status === 'failed');
  assert.equal(final.error, 'storage_refused');
});

test('--parallel-parts bounds the PUTs of all uploads together', async () => {
  await using bench = await AgentBench.start({ config: { parallelParts: 1 } });
  let running = 0;
  let most = 0;
  bench.store.fault = async (put, request, response) => {
    most = Math.max(most, (running += 1));
    await readAll(request);
    await delay(5);
    running -= 1;
    response.writeHead(200, { etag: `"${put.try}"` }).end();
    return true;
  };
  const session = await bench.server.acceptAndWelcome();
  for (const name of ['first', 'second']) {
    const { path } = await bench.file(name, 11 * MiB);
    session.send(prepareMessage(path));
    session.send(downloadMessage(path, await session.next('prepared'), bench.store));
  }
  for (let ends = 0; ends < 2; ends += 1) {
    assert.equal((await session.next('completed', 'failed')).status, 'completed');
  }
  assert.equal(most, 1);
});

test('an address that the agent’s policy refuses gets no request', async () => {
  await using bench = await AgentBench.start({ config: { storageOrigins: ['https://bucket.example.com'] } });
  const { path } = await bench.file('pinned', 10);
  const final = await pull(await bench.server.acceptAndWelcome(), bench.store, path);
  assert.ok(final.status === 'failed');
  assert.equal(final.error, 'storage_not_allowed');
  assert.equal(bench.store.puts.length, 0);
});

test('bytes that the store calls damaged are read again, and after some tries it is checksum_mismatch', async () => {
  await using bench = await AgentBench.start();
  const { path } = await bench.file('damaged', 100);
  bench.store.fault = (_put, request, response) => refuse(request, response, 400, 'BadDigest');
  const final = await pull(await bench.server.acceptAndWelcome(), bench.store, path);
  assert.ok(final.status === 'failed');
  assert.equal(final.error, 'checksum_mismatch');
  assert.equal(bench.store.puts.length, 3);
});

const changes: Array<{ how: string; change: (path: string) => Promise<void> }> = [
  { how: 'grows', change: (path) => appendFile(path, 'more') },
  { how: 'is cut', change: (path) => truncate(path, 100) },
  { how: 'is overwritten', change: (path) => writeFile(path, Buffer.alloc(11 * MiB)) },
  { how: 'is touched', change: (path) => utimes(path, new Date(0), new Date(0)) },
];
for (const { how, change } of changes) {
  test(`a file that ${how} between prepare and the PUTs is file_changed`, async () => {
    await using bench = await AgentBench.start();
    const { path } = await bench.file('changing', 11 * MiB);
    const session = await bench.server.acceptAndWelcome();
    session.send(prepareMessage(path));
    const prepared = await session.next('prepared');
    await change(path);
    session.send(downloadMessage(path, prepared, bench.store));
    assert.equal((await session.next('completed', 'failed')).status, 'failed');
    assert.equal((session.heard.at(-1) as { error?: string }).error, 'file_changed');
    assert.equal(bench.store.stored.size, 0);
  });

  test(`a file that ${how} amid the PUTs is file_changed`, async () => {
    await using bench = await AgentBench.start({ config: { parallelParts: 1 } });
    const { path } = await bench.file('changing', 11 * MiB);
    bench.store.fault = async (put) => {
      if (put.partNumber === 3) await change(path);
      return false;
    };
    const final = await pull(await bench.server.acceptAndWelcome(), bench.store, path);
    assert.ok(final.status === 'failed');
    assert.equal(final.error, 'file_changed');
  });
}

test('changed bytes under an unchanged size and mtime never get stored whole', async () => {
  await using bench = await AgentBench.start();
  const { path, content } = await bench.file('forged', 2 * 5 * MiB);
  const time = new Date(1_700_000_000_000);
  await utimes(path, time, time);
  const session = await bench.server.acceptAndWelcome();
  session.send(prepareMessage(path, { checksumMode: 'none' }));
  const prepared = await session.next('prepared');
  content[7 * MiB] = (content[7 * MiB] ?? 0) ^ 1;
  await writeFile(path, content);
  await utimes(path, time, time);
  // A store that ignores checksums.
  const message = downloadMessage(path, prepared, bench.store);
  for (const url of message.upload_config.presigned_urls) url.headers = {};
  session.send(message);
  assert.equal((await session.next('failed')).error, 'file_changed');
  assert.equal(bench.store.stored.has(2), false);
});

test('a part that the store refuses is compared with what was announced before it is sent again', async () => {
  await using bench = await AgentBench.start();
  const { path, content } = await bench.file('forged', 2 * 5 * MiB);
  const time = new Date(1_700_000_000_000);
  await utimes(path, time, time);
  const session = await bench.server.acceptAndWelcome();
  session.send(prepareMessage(path));
  const prepared = await session.next('prepared');
  content[7 * MiB] = (content[7 * MiB] ?? 0) ^ 1;
  await writeFile(path, content);
  await utimes(path, time, time);
  bench.store.fault = async (put, request, response) => {
    if (put.partNumber !== 2) return false;
    await readAll(request);
    return await refuse(request, response, 400, 'BadDigest');
  };
  session.send(downloadMessage(path, prepared, bench.store));
  assert.equal((await session.next('failed')).error, 'file_changed');
  assert.deepEqual(bench.store.puts.filter(({ partNumber }) => partNumber === 2).length, 2);
});

test('a part that is rewritten after it was sent, its mtime put back, is file_changed', async () => {
  await using bench = await AgentBench.start({ config: { parallelParts: 1 } });
  const { path } = await bench.file('put-back', 11 * MiB);
  const time = new Date(1_700_000_000_000);
  await utimes(path, time, time);
  bench.store.fault = async (put) => {
    if (put.partNumber !== 2) return false;
    await using file = await open(path, 'r+');
    await file.write(Buffer.alloc(4096, 7), 0, 4096, 0);
    await file.utimes(time, time);
    return false;
  };
  const final = await pull(await bench.server.acceptAndWelcome(), bench.store, path);
  assert.ok(final.status === 'failed');
  assert.equal(final.error, 'file_changed');
});

test('chmod and rename during the PUTs change nothing', async () => {
  await using bench = await AgentBench.start({ config: { parallelParts: 1 } });
  const { path, content } = await bench.file('renamed', 11 * MiB);
  bench.store.fault = async (put) => {
    if (put.partNumber === 2) {
      await chmod(path, 0o640);
      await rename(path, join(bench.directory, 'elsewhere'));
    }
    return false;
  };
  const final = await pull(await bench.server.acceptAndWelcome(), bench.store, path);
  assert.equal(final.status, 'completed');
  assert.ok(bench.store.object().equals(content));
});

test('a file that another one replaces during the PUTs is file_changed, but by prefix a log that was rotated', async () => {
  for (const onChange of ['fail', 'prefix'] as const) {
    await using bench = await AgentBench.start({ config: { parallelParts: 1 } });
    const { path, content } = await bench.file('replaced', 11 * MiB);
    bench.store.fault = async (put) => {
      if (put.partNumber !== 2) return false;
      await writeFile(join(bench.directory, 'new'), content);
      await rename(join(bench.directory, 'new'), path);
      return false;
    };
    const session = await bench.server.acceptAndWelcome();
    const final = await pull(session, bench.store, path, { onChange });
    assert.equal(final.status, onChange === 'prefix' ? 'completed' : 'failed', JSON.stringify(final));
    if (final.status === 'failed') assert.equal(final.error, 'file_changed');
    else assert.ok(bench.store.object().equals(content));
  }
});

test('no line of the log holds a signature or the token', async () => {
  await using bench = await AgentBench.start();
  const { path } = await bench.file('secret', 10);
  bench.store.fault = async (put, request, response) =>
    put.try === 1 ? refuse(request, response, 503, 'SlowDown', bench.store.url(1)) : false;
  await pull(await bench.server.acceptAndWelcome(), bench.store, path);
  assert.ok(bench.log.some((line) => line.includes('PUT did not succeed')));
  const leaks = bench.log.filter((line) => /secret-signature|agent-token/.test(line));
  assert.deepEqual(leaks, []);
});

test('--max-rate bounds the bytes per second of all uploads together', async () => {
  await using bench = await AgentBench.start({ config: { maxRate: () => 4 * MiB } });
  const first = await bench.file('first', MiB);
  const second = await bench.file('second', MiB);
  const session = await bench.server.acceptAndWelcome();
  signOnRequest(session, bench.store);
  const started = performance.now();
  for (const { path } of [first, second]) {
    session.send(prepareMessage(path));
    session.send(downloadMessage(path, await session.next('prepared'), bench.store));
  }
  await session.next('completed');
  await session.next('completed');
  const seconds = (performance.now() - started) / 1000;
  assert.ok(seconds > 0.35 && seconds < 3, `2 MiB at 4 MiB/s took ${seconds.toFixed(2)} s`);
});

test('a stalled time-out does not fire while the rate limit itself holds the body back', async () => {
  await using bench = await AgentBench.start({ config: { maxRate: () => 8192 }, timings: { stallMs: 50 } });
  const { path } = await bench.file('slow', 5000);
  const final = await pull(await bench.server.acceptAndWelcome(), bench.store, path);
  assert.equal(final.status, 'completed');
  assert.equal(bench.store.puts.length, 1);
});

test('limits that come with an upload hold within those of the owner', async () => {
  await using bench = await AgentBench.start({ config: { parallelParts: 2, maxRate: () => 40 * MiB } });
  const { path, content } = await bench.file('limited', 4 * 5 * MiB);
  let [now, most] = [0, 0];
  bench.store.fault = async () => {
    now += 1;
    most = Math.max(most, now);
    await delay(20);
    now -= 1;
    return false;
  };
  const session = await bench.server.acceptAndWelcome();
  const startedAt = performance.now();
  const slow = await pull(session, bench.store, path, { limits: { parallel_parts: 1, max_rate: 10 * MiB } });
  const tookMs = performance.now() - startedAt;
  assert.equal(slow.status, 'completed');
  assert.ok(bench.store.object().equals(content));
  assert.equal(most, 1);
  assert.ok(tookMs > 1700, `20 MiB at 10 MiB/s took ${tookMs} ms`);
  const before = performance.now();
  const wide = await pull(session, bench.store, path, { limits: { parallel_parts: 64, max_rate: 1e12 } });
  assert.equal(wide.status, 'completed');
  assert.equal(most, 2, 'the owner’s --parallel-parts');
  assert.ok(performance.now() - before > 350, 'the owner’s --max-rate');
});

test('an upload that its own limit makes slow takes no places that others wait for', async () => {
  await using bench = await AgentBench.start();
  const { path: large } = await bench.file('large', 4 * 5 * MiB);
  const { path: small } = await bench.file('small', 5 * MiB);
  const session = await bench.server.acceptAndWelcome();
  // The line is known to be quick from now on.
  assert.equal((await pull(session, bench.store, small)).status, 'completed');
  const before = bench.store.puts.length;
  const slow = prepareMessage(large, { limits: { max_rate: 100_000 } });
  session.send(slow);
  const prepared = await session.next('prepared');
  session.send(downloadMessage(large, prepared, bench.store));
  while (bench.store.puts.length === before) await delay(5);
  assert.equal((await pull(session, bench.store, small)).status, 'completed');
  assert.equal(bench.store.puts.length, before + 2, 'one of each');
  session.send({ action: 'cancel_upload', upload_id: slow.upload_id, attempt: 1, reason: 'test' });
});
