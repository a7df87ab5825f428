import assert from 'node:assert/strict';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { test } from 'node:test';
import { type AgentMessageInput, PeerBudget, type ServerMessageInput } from '@backhaul/protocol';
import { WebSocket, WebSocketServer } from 'ws';
import { DomainFixture } from '../../../../test/harness/server/domain-fixture.ts';
import {
  completedMessage,
  partUploadedMessage,
  preparedMessage,
  sampleToken,
} from '../../../../test/doubles/fake-agent.ts';
import { intercepted } from '../../../../test/doubles/intercepted.ts';
import { type Store, StoreError } from '../domain/ports/store.ts';
import { openSqliteStore } from '../store/open-sqlite-store.ts';
import { AgentConnection, type ConnectionOptions } from './agent-connection.ts';

const CLOCKS = { cpuMs: () => performance.now() };

/** The server's end of a real socket, and the agent's. */
async function connect(
  fixture: DomainFixture,
  options: { readonly budget?: PeerBudget; readonly observe?: ConnectionOptions['observe'] } = {},
) {
  await using cleanup = new AsyncDisposableStack();
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0 });
  cleanup.defer(() => server.close());
  await once(server, 'listening');
  const agent = new WebSocket(`ws://127.0.0.1:${(server.address() as AddressInfo).port}`);
  const [accepted] = (await once(server, 'connection')) as [WebSocket];
  const connection = new AgentConnection(accepted, fixture.context, {
    clientId: 'client-1',
    sessionId: '019ab3c2-5f00-7000-8000-000000000001',
    nodeId: 'node-1',
    serverVersion: '0.0.0-test',
    remoteAddress: '127.0.0.1',
    token: sampleToken,
    draining: new AbortController().signal,
    account: {
      budget:
        options.budget ??
        new PeerBudget({ bytesPerSecond: 4_194_304, cpuMsPerSecond: 100, refusalsPerMinute: 120 }, CLOCKS),
      abused: () => {},
    },
    observe: options.observe ?? { refused: () => {}, throttled: () => {}, closedForAbuse: () => {} },
    log: fixture.log,
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
    capabilities: ['health_check'],
    limits: { max_uploads: 4, parallel_parts: 4 },
  });
  await fixture.until(() => fixture.context.sessions.get('client-1') !== undefined, 'a session');
  const owned = cleanup.move();
  return { agent, say, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

test('a message that cannot be parsed ends its subject', async () => {
  await using fixture = new DomainFixture(await openSqliteStore(':memory:'));
  await using connected = await connect(fixture);
  const { agent } = connected;
  const heard: ServerMessageInput[] = [];
  agent.on('message', (data) => heard.push(JSON.parse((data as Buffer).toString()) as ServerMessageInput));
  const { uploadId } = await fixture.trigger();
  const upload = await fixture.reaches(uploadId, 'preparing');
  const unreadable = { ...preparedMessage(upload), source_modified_at: '+010000-01-01T00:00:00.000Z' };
  agent.send(JSON.stringify({ ...unreadable, attempt: upload.attempt + 1 }));
  agent.send(JSON.stringify({ ...unreadable, status: 'of_the_future' }));
  agent.send(JSON.stringify(unreadable));
  const failed = await fixture.reaches(uploadId, 'failed');
  assert.equal(failed.error, 'protocol_error');
  assert.match(failed.message ?? '', /source_modified_at/);
  const about = { upload_id: uploadId, attempt: upload.attempt };
  const isAbout = (message: object) =>
    Object.entries(about).every(([name, value]) => Reflect.get(message, name) === value);
  await fixture.until(
    () =>
      ['error', 'cancel_upload'].every((action) =>
        heard.some((one) => one.action === action && isAbout(one)),
      ),
    'the notification of the agent',
  );

  const result = assert.rejects(fixture.context.commands.run('client-1', 'health_check', {}), {
    code: 'protocol_error',
  });
  await fixture.until(() => heard.some(({ action }) => action === 'health_check'), 'a command');
  const asked = heard.find((one) => one.action === 'health_check');
  agent.send(JSON.stringify({ status: 'result', command_id: asked?.command_id, ok: 'yes' }));
  await result;
});

test('an agent that could not parse a message ends its attempt with an error', async () => {
  await using fixture = new DomainFixture(await openSqliteStore(':memory:'));
  await using connected = await connect(fixture);
  const { uploadId } = await fixture.trigger();
  const { attempt } = await fixture.reaches(uploadId, 'preparing');
  const error = { status: 'error', code: 'protocol_error', message: 'plan is wrong' } as const;
  connected.say(error);
  connected.say({ ...error, upload_id: uploadId, attempt });
  const failed = await fixture.reaches(uploadId, 'failed');
  assert.match(failed.message ?? '', /plan is wrong/);
});

test('unparsable messages close the connection even between valid ones, and are logged once a second', async () => {
  await using fixture = new DomainFixture(await openSqliteStore(':memory:'));
  await using connected = await connect(fixture);
  const { agent, say } = connected;
  const closed = once(agent, 'close');
  for (let count = 0; count < 1000; count += 1) {
    agent.send('{"status":');
    if (count % 10 === 0) say({ status: 'error', code: 'x', message: 'readable' });
  }
  const [code] = (await closed) as [number];
  assert.equal(code, 4003);
  const warnings = fixture.log.entries.filter(({ level }) => level === 'warn');
  assert.ok(warnings.length < 10, `${warnings.length} warnings`);
});

test('messages of unknown kinds get errors and end nothing, however many', async () => {
  await using fixture = new DomainFixture(await openSqliteStore(':memory:'));
  let isAbusive = false;
  await using connected = await connect(fixture, {
    observe: { refused: () => {}, throttled: () => {}, closedForAbuse: () => void (isAbusive = true) },
  });
  const { agent } = connected;
  let errors = 0;
  const responded = new Promise<void>((resolve) => {
    agent.on('message', (data) => {
      errors += (data as Buffer).toString().includes('of_the_future') ? 1 : 0;
      if (errors === 500) resolve();
    });
    agent.on('close', () => resolve());
  });
  for (let count = 0; count < 500; count += 1) agent.send('{"status":"of_the_future","upload_id":7}');
  await responded;
  assert.equal(errors, 500);
  assert.ok(!isAbusive && agent.readyState === agent.OPEN);
});

test('an agent that has spent its budget is read from again when its debt is paid off', async () => {
  await using fixture = new DomainFixture(await openSqliteStore(':memory:'));
  let throttled = 0;
  await using connected = await connect(fixture, {
    budget: new PeerBudget({ bytesPerSecond: 1000, cpuMsPerSecond: 1000, refusalsPerMinute: 100 }, CLOCKS),
    observe: { refused: () => {}, throttled: () => void (throttled += 1), closedForAbuse: () => {} },
  });
  const { agent } = connected;
  const responded = new Promise<void>((resolve) => {
    agent.on('message', (data) => {
      if ((data as Buffer).toString().includes('unknown')) resolve();
    });
  });
  for (let count = 0; count < 20; count += 1) {
    connected.say({ status: 'error', code: 'x', message: 'x'.repeat(900) });
  }
  agent.send('{"status":"unknown"}');
  await responded;
  assert.ok(throttled > 0);
});

test('pings and pongs of an agent count towards its budget', async () => {
  await using fixture = new DomainFixture(await openSqliteStore(':memory:'));
  let throttled = 0;
  await using connected = await connect(fixture, {
    budget: new PeerBudget({ bytesPerSecond: 1000, cpuMsPerSecond: 1000, refusalsPerMinute: 100 }, CLOCKS),
    observe: { refused: () => {}, throttled: () => void (throttled += 1), closedForAbuse: () => {} },
  });
  const { agent } = connected;
  const answered = new Promise<void>((resolve) => {
    agent.on('message', (data) => {
      if ((data as Buffer).toString().includes('unknown')) resolve();
    });
  });
  for (let count = 0; count < 140; count += 1) agent.pong(Buffer.alloc(125));
  agent.send('{"status":"unknown"}');
  await answered;
  assert.ok(throttled > 0);
});

test('messages refused by the database are recorded later, in order and on the same connection', async () => {
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
  await using fixture = new DomainFixture(store);
  await using connected = await connect(fixture);
  const { agent, say } = connected;
  const { uploadId } = await fixture.trigger();
  const upload = await fixture.reaches(uploadId, 'preparing');
  say(preparedMessage(upload));
  const { s3UploadId } = await fixture.reaches(uploadId, 'uploading');
  await fixture.until(() => fixture.bucket.count('signParts') > 0, 'URLs');
  for (const partNumber of [1, 2, 3]) fixture.bucket.put(s3UploadId, partNumber);
  say(partUploadedMessage(upload, [1]));
  say(completedMessage(upload));
  await fixture.reaches(uploadId, 'completed');
  assert.equal(refusals, 2);
  assert.deepEqual(recorded, [1, 3]);
  assert.equal(agent.readyState, agent.OPEN);
});
