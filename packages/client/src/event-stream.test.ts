import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ApiError, ConnectionError } from './errors.ts';
import { type FollowedEvent, openEventStream, reconnectingStream } from './event-stream.ts';
import { ScriptedServer, sendEvent, startEvents } from '../../../test/doubles/scripted-server.ts';
import { uploadRecord } from '../../../test/harness/upload-record.ts';
import { Transport } from './transport.ts';

test('a stream without data or heartbeats counts as lost', async () => {
  await using server = await ScriptedServer.start((_, response) => {
    startEvents(response);
    sendEvent(response, 1, uploadRecord());
  });
  const transport = new Transport({ url: server.url, token: 't' });
  const stream = await openEventStream(transport, '/events', { idleTimeoutMs: 1000 });
  assert.equal((await stream.next()).value?.id, '1');
  await assert.rejects(stream.next(), ConnectionError);
});

test('a slow consumer does not count as a silent server', async () => {
  await using server = await ScriptedServer.start((_, response) => {
    startEvents(response);
    sendEvent(response, 1, uploadRecord());
    sendEvent(response, 2, uploadRecord());
    response.end();
  });
  const transport = new Transport({ url: server.url, token: 't' });
  const ids: (string | undefined)[] = [];
  for await (const { id } of await openEventStream(transport, '/events', { idleTimeoutMs: 1000 })) {
    ids.push(id);
    await new Promise((resolve) => setTimeout(resolve, 1100));
  }
  assert.deepEqual(ids, ['1', '2']);
});

test('an endless event is refused before it fills the memory', async () => {
  await using server = await ScriptedServer.start((_, response) => {
    startEvents(response);
    response.write('data: ');
    const more = (): void => {
      while (!response.destroyed && response.write('x'.repeat(65_536)));
      if (!response.destroyed) response.once('drain', more);
    };
    more();
  });
  const transport = new Transport({ url: server.url, token: 't' });
  const stream = await openEventStream(transport, '/events', {});
  await assert.rejects(stream.next(), /longer than any record/);
});

const away = new ConnectionError('http://server', 'cannot be reached');

async function* messages(...ids: string[]) {
  for (const id of ids) yield { id, event: 'upload', data: '' };
}

test('resumes from the last event id, after a lost and after an ended connection', async () => {
  const requestedIds: (string | undefined)[] = [];
  const stream = reconnectingStream(
    async (lastEventId) => {
      requestedIds.push(lastEventId);
      if (requestedIds.length === 2) throw away;
      return messages(`${requestedIds.length}a`, `${requestedIds.length}b`);
    },
    { signal: AbortSignal.timeout(10_000) },
  );
  const seen: string[] = [];
  for await (const event of stream) {
    seen.push(event.kind === 'message' ? (event.message.id ?? '') : 'gap');
    if (seen.length === 6) break;
  }
  assert.deepEqual(requestedIds, [undefined, '1b', '1b']);
  assert.deepEqual(seen, ['1a', '1b', 'gap', 'gap', '3a', '3b']);
});

test('the delay between tries never exceeds four seconds', async (context) => {
  context.mock.timers.enable({ apis: ['setTimeout'] });
  const waits: number[] = [];
  const stream = reconnectingStream(() => Promise.reject(away), {
    firstContactMs: 3_600_000,
    onGap: ({ delayMs }) => waits.push(delayMs),
  });
  for (let failures = 0; failures < 12; failures += 1) {
    const next = stream.next();
    // Let pending promises run before the clock advances.
    for (let turn = 0; turn < 10; turn += 1) await Promise.resolve();
    context.mock.timers.tick(60_000);
    await next;
  }
  assert.equal(waits.length, 12);
  assert.ok(Math.max(...waits) <= 4000, waits.join(' '));
  await stream.return();
});

test('a lost connection before the first contact is an error at once', async () => {
  const stream = reconnectingStream(() => Promise.reject(away), {});
  await assert.rejects(stream.next(), away);
});

test('retries within the time for the first contact', async () => {
  const stream = reconnectingStream(() => Promise.reject(away), { firstContactMs: 60_000 });
  const first = (await stream.next()).value as FollowedEvent;
  assert.equal(first.kind, 'gap');
  await stream.return();
});

test('an error that a retry cannot fix is thrown at once, even after contact', async () => {
  const refused = new ApiError({ code: 'unauthorized', status: 401, detail: 'expired' });
  let opened = 0;
  const stream = reconnectingStream(async () => {
    opened += 1;
    if (opened > 1) throw refused;
    return messages('1');
  }, {});
  await assert.rejects(async () => {
    for await (const event of stream) void event;
  }, refused);
});

test('waits for the time that the server requests', async () => {
  const busy = new ApiError({ code: 'too_many_requests', status: 429, detail: 'busy', retryAfterMs: 40_000 });
  const stream = reconnectingStream(() => Promise.reject(busy), { firstContactMs: 60_000 });
  const { value } = await stream.next();
  assert.ok(value?.kind === 'gap' && value.gap.delayMs >= 40_000);
  await stream.return();
});
