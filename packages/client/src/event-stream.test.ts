import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ConnectionError } from './connection-error.ts';
import { openEventStream } from './event-stream.ts';
import { ScriptedServer, sendEvent, startEvents } from './testing/scripted-server.ts';
import { uploadRecord } from './testing/upload-record.ts';
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
