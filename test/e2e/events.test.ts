import assert from 'node:assert/strict';
import { writeFile } from 'node:fs/promises';
import { after, before, describe, test } from 'node:test';
import { UPLOAD_EVENT, type UploadRecord, isTerminal } from '@backhaul/protocol';
import { assertProblem } from '../harness/assert-problem.ts';
import { randomFile } from '../harness/random-file.ts';
import { type ServerSentEvent, allEvents, readEvents } from '../harness/read-events.ts';
import { Stage } from '../harness/stage.ts';

const MiB = 1024 * 1024;

describe('server-sent events', () => {
  let stage: Stage;
  let large: string;
  let small: string;
  before(async () => {
    stage = await Stage.start();
    large = stage.directory.join('large.bin');
    small = stage.directory.join('small.txt');
    await randomFile(large, 30 * MiB);
    await writeFile(small, 'small');
    await stage.startAgent('till', ['--allow', stage.directory.path]);
    await stage.startAgent('slow', ['--allow', stage.directory.path, '--max-rate', String(20 * MiB)]);
  });
  after(() => stage[Symbol.asyncDispose]());

  test('of one upload tell its whole life, and end with it', async () => {
    const { upload_id: id } = await stage.client.triggerDownload('slow', { file_path: large });
    const answer = await stage.fetch(`/uploads/${id}/events`);
    assert.equal(answer.status, 200);
    assert.match(answer.headers.get('content-type') ?? '', /^text\/event-stream\b/);
    assert.equal(answer.headers.get('cache-control'), 'no-store');
    const events = await allEvents(answer);
    assert.ok(events.length >= 3, `${events.length} events`);
    let version = 0;
    for (const { id: eventId, event, record } of events) {
      assert.equal(event, UPLOAD_EVENT);
      assert.equal(record.upload_id, id);
      assert.equal(eventId, String(record.version));
      assert.ok(record.version > version, `${record.version} after ${version}`);
      version = record.version;
    }
    const statuses = events.map(({ record }) => record.status);
    assert.ok(statuses.includes('uploading'), statuses.join(', '));
    assert.equal(statuses.at(-1), 'completed');
    assert.ok(statuses.slice(0, -1).every((status) => !isTerminal(status)));
    const progress = events.map(({ record }) => record.parts_completed);
    assert.deepEqual(
      progress,
      progress.toSorted((a, b) => a - b),
    );
    assert.equal(progress.at(-1), 6);
  });

  test('of an upload that has ended are its last record, once', async () => {
    const record = await stage.pull('till', { file_path: small });
    const path = `/uploads/${record.upload_id}/events`;
    const all = await allEvents(await stage.fetch(path));
    assert.deepEqual(
      all.map(({ record: { version, status } }) => [version, status]),
      [[record.version, 'completed']],
    );
    // A browser would reconnect to a 200 forever.
    const known = await stage.fetch(path, { headers: { 'last-event-id': String(record.version) } });
    assert.equal(known.status, 204);
    const behind = await followFrom(path, String(record.version - 1));
    assert.equal(behind.length, 1);
    const nonsense = await followFrom(path, 'nonsense');
    assert.equal(nonsense.length, 1);
  });

  test('end with the token that opened them', async () => {
    const expiresAt = Math.floor(Date.now() / 1000) + 2;
    const token = await stage.tokens.sign('operator', {
      subject: 'short',
      claims: { scope: 'read' },
      expiresAt,
    });
    const answer = await stage.fetch('/events', {
      headers: { authorization: `Bearer ${token}` },
      // If a stream outlives its token, this test fails instead of waiting.
      signal: AbortSignal.timeout(20_000),
    });
    assert.equal(answer.status, 200);
    await answer.text();
    assert.ok(Date.now() / 1000 >= expiresAt - 1);
  });

  test('of an upload that does not exist are a 404', async () => {
    const nobody = '019ab3c2-5f00-7000-8000-000000000001';
    await assertProblem(await stage.fetch(`/uploads/${nobody}/events`), 404, 'upload_not_found');
    await assertProblem(await stage.fetch('/uploads/nobody/events'), 400, 'invalid_request');
  });

  test('of all uploads show each of them from now on, and again from Last-Event-ID', async () => {
    const earlier = await stage.pull('till', { file_path: small });
    const reader = new AbortController();
    const stream = readEvents(await stage.fetch('/events', { signal: reader.signal }));
    const accepted = await Promise.all(
      ['till', 'slow', 'till'].map((client) =>
        stage.client.triggerDownload(client, { file_path: small, force: true }),
      ),
    );
    const ids = new Set(accepted.map(({ upload_id }) => upload_id));
    const seen: ServerSentEvent[] = [];
    const ended = new Set<string>();
    for await (const event of stream) {
      seen.push(event);
      if (isTerminal(event.record.status)) ended.add(event.record.upload_id);
      if (ended.size === ids.size) break;
    }
    assert.deepEqual(ended, ids);
    assert.ok(!seen.some(({ record }) => record.upload_id === earlier.upload_id));
    assert.equal(new Set(seen.map(({ id }) => id)).size, seen.length, 'no event came twice');
    for (const id of ids) {
      const versions = seen
        .filter(({ record }) => record.upload_id === id)
        .map(({ record }) => record.version);
      assert.deepEqual(
        versions,
        versions.toSorted((a, b) => a - b),
      );
    }

    const [first] = seen;
    const again = readEvents(
      await stage.fetch('/events', { signal: reader.signal, headers: { 'last-event-id': first?.id ?? '' } }),
    );
    const missed = new Map<string, UploadRecord>();
    for await (const { record } of again) {
      missed.set(record.upload_id, record);
      if ([...ids].every((id) => missed.get(id)?.status === 'completed')) break;
    }
    assert.ok(!missed.has(earlier.upload_id));
    reader.abort();
  });

  test('hold up nothing when their readers leave, or when the server stops', async () => {
    const { upload_id: id } = await stage.client.triggerDownload('slow', { file_path: large });
    const leaving = new AbortController();
    const paths = Array.from({ length: 20 }, (_, index) =>
      index % 2 === 0 ? '/events' : `/uploads/${id}/events`,
    );
    await Promise.all(paths.map((path) => stage.fetch(path, { signal: leaving.signal })));
    // Some clients disconnect before the first byte.
    const early = AbortSignal.timeout(1);
    await Promise.allSettled(paths.map((path) => stage.fetch(path, { signal: early })));
    leaving.abort();
    assert.equal((await stage.ended(id)).status, 'completed');

    const staying = await Promise.all([stage.fetch('/events'), stage.fetch('/events')]);
    const ends = Promise.all(staying.map((answer) => allEvents(answer)));
    const started = performance.now();
    const exit = await stage.server.stop();
    const took = performance.now() - started;
    assert.equal(exit.code, 0, exit.stdout.slice(-2000));
    assert.ok(took < 5000, `the server took ${took} ms to stop`);
    await ends;
    assert.equal(exit.stderr, '');
  });

  async function followFrom(path: string, lastEventId: string): Promise<ServerSentEvent[]> {
    const answer = await stage.fetch(path, { headers: { 'last-event-id': lastEventId } });
    return await allEvents(answer);
  }
});
