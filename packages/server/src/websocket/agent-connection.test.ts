import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import type { AgentMessageInput } from '@backhaul/protocol';
import { WebSocket, WebSocketServer } from 'ws';
import { DomainBench } from '../domain/fakes/domain-bench.ts';
import { completedMessage, partUploadedMessage, preparedMessage } from '../domain/fakes/fake-agent.ts';
import { intercepted } from '../domain/fakes/intercepted.ts';
import { type Store, StoreError } from '../domain/ports/store.ts';
import { openSqliteStore } from '../store/open-sqlite-store.ts';
import { AgentConnection } from './agent-connection.ts';

/** The server's end of a real socket, and the agent's. */
async function connect(bench: DomainBench) {
  await using cleanup = new AsyncDisposableStack();
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0 });
  cleanup.defer(() => server.close());
  await once(server, 'listening');
  const agent = new WebSocket(`ws://127.0.0.1:${(server.address() as AddressInfo).port}`);
  const [accepted] = (await once(server, 'connection')) as [WebSocket];
  const connection = new AgentConnection(accepted, bench.context, {
    clientId: 'client-1',
    sessionId: '019ab3c2-5f00-7000-8000-000000000001',
    nodeId: 'node-1',
    serverVersion: '0.0.0-test',
    tokenExpiresAt: Infinity,
    draining: new AbortController().signal,
    log: bench.log,
  });
  cleanup.defer(async () => {
    agent.terminate();
    await connection.closed;
  });
  if (agent.readyState !== agent.OPEN) await once(agent, 'open');
  const say = (message: AgentMessageInput) => agent.send(JSON.stringify(message));
  say({
    status: 'hello',
    agent_version: '1.2.3',
    platform: { os: 'linux', arch: 'x64' },
    limits: { max_uploads: 4, parallel_parts: 4 },
  });
  await bench.until(() => bench.context.sessions.get('client-1') !== undefined, 'a session');
  const owned = cleanup.move();
  return { agent, say, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

test('what the database refused is recorded later, in its order and on the same socket', async () => {
  const real = await openSqliteStore(':memory:');
  const recorded: number[] = [];
  let refusals = 0;
  const store = intercepted<Store>(real, {
    recordUploadedParts: async (uploadId, parts) => {
      if (parts.length === 1 && refusals < 2) {
        refusals += 1;
        throw new StoreError('the database is locked');
      }
      recorded.push(parts.length);
      return real.recordUploadedParts(uploadId, parts);
    },
  });
  await using bench = new DomainBench(store);
  await using connected = await connect(bench);
  const { agent, say } = connected;
  const { uploadId } = await bench.trigger();
  const upload = await bench.reaches(uploadId, 'preparing');
  say(preparedMessage(upload));
  const { s3UploadId } = await bench.reaches(uploadId, 'uploading');
  await bench.until(() => bench.bucket.count('signParts') > 0, 'URLs');
  for (const partNumber of [1, 2, 3]) bench.bucket.put(s3UploadId, partNumber);
  say(partUploadedMessage(upload, [1]));
  say(completedMessage(upload));
  await bench.reaches(uploadId, 'completed');
  assert.equal(refusals, 2);
  assert.deepEqual(recorded, [1, 3]);
  assert.equal(agent.readyState, agent.OPEN);
});
