import assert from 'node:assert/strict';
import { test } from 'node:test';
import { commandNames, commands, type Result } from '@backhaul/protocol';
import { FakeConnection, sampleToken } from '../../../../../test/doubles/fake-agent.ts';
import { CommandRunner } from './command-runner.ts';
import { type AgentSession, SessionRegistry } from './session.ts';

const HEALTH = {
  agent_version: '1.2.3',
  uptime_ms: 1,
  rss_bytes: 2,
  active_uploads: 0,
  max_uploads: 4,
  allowed: ['/data'],
  max_rate_bytes_per_second: null,
};

function openRunner() {
  const sessions = new SessionRegistry();
  const connect = (
    clientId: string,
    { capabilities = [...commandNames, 'list_pages'] } = {},
  ): { connection: FakeConnection; session: AgentSession } => {
    const connection = new FakeConnection(clientId);
    const session: AgentSession = {
      clientId,
      sessionId: connection.sessionId,
      epoch: 1,
      token: sampleToken,
      hostId: null,
      maxUploads: 1,
      agentVersion: '0.1.0',
      capabilities: new Set(capabilities),
      send: (message) => connection.send(message),
      close: (code, reason) => connection.close(code, reason),
    };
    sessions.add(session);
    sessions.welcomed(session);
    return { connection, session };
  };
  return { runner: new CommandRunner(sessions), connect };
}

function asked(connection: FakeConnection): string {
  const frame = connection.frames.at(-1);
  assert.ok(frame !== undefined && 'command_id' in frame && frame.action !== 'error');
  return frame.command_id;
}

const succeeded = (commandId: string, data: Record<string, unknown>): Result => ({
  status: 'result',
  command_id: commandId,
  ok: true,
  data,
});

test('a command is sent to its agent, and its result is returned', async () => {
  const { runner, connect } = openRunner();
  const { connection, session } = connect('client-1');
  const result = runner.run('client-1', 'health_check', {});
  assert.deepEqual(connection.frames, [{ action: 'health_check', command_id: asked(connection) }]);
  runner.complete(session, succeeded(asked(connection), HEALTH));
  assert.deepEqual(await result, { commandId: asked(connection), result: HEALTH });
});

test('parameters are sent with the command', async () => {
  const { runner, connect } = openRunner();
  const { connection, session } = connect('client-1');
  const result = runner.run('client-1', 'list_directory', { path: '/data' });
  assert.deepEqual(connection.frames, [
    { action: 'list_directory', command_id: asked(connection), path: '/data' },
  ]);
  const listing = { path: '/data', entries: [], truncated: false };
  runner.complete(session, succeeded(asked(connection), listing));
  assert.deepEqual((await result).result, listing);
});

test('a disconnected agent gives client_offline', async () => {
  await assert.rejects(openRunner().runner.run('client-1', 'health_check', {}), { code: 'client_offline' });
});

test('an error is returned with the agent’s code, an unknown code as agent_fault', async () => {
  const { runner, connect } = openRunner();
  const { connection, session } = connect('client-1');
  for (const [error, code] of [
    ['path_not_allowed', 'path_not_allowed'],
    ['constructor', 'agent_fault'],
  ] as const) {
    const result = assert.rejects(runner.run('client-1', 'list_directory', { path: '/' }), {
      code,
      message: 'No.',
    });
    const refusal = {
      status: 'result',
      command_id: asked(connection),
      ok: false,
      error,
      message: 'No.',
    } as const;
    runner.complete(session, refusal);
    await result;
  }
});

test('a malformed result is a protocol_error', async () => {
  const { runner, connect } = openRunner();
  const { connection, session } = connect('client-1');
  const result = assert.rejects(runner.run('client-1', 'health_check', {}), { code: 'protocol_error' });
  runner.complete(session, succeeded(asked(connection), { ...HEALTH, uptime_ms: 'long' }));
  await result;
});

test('a result from another agent or for an unknown command is ignored', async () => {
  const { runner, connect } = openRunner();
  const { connection, session } = connect('client-1');
  const other = connect('client-2');
  const result = runner.run('client-1', 'health_check', {});
  runner.complete(other.session, succeeded(asked(connection), { ...HEALTH, agent_version: 'forged' }));
  runner.complete(session, succeeded('019ab3c2-5f00-7000-8000-000000000001', HEALTH));
  runner.complete(session, succeeded(asked(connection), HEALTH));
  assert.equal((await result).result.agent_version, '1.2.3');
});

test('an agent that does not respond in time gives command_timeout, and a late result is ignored', async ({
  mock,
}) => {
  mock.timers.enable({ apis: ['setTimeout'] });
  const { runner, connect } = openRunner();
  const { connection, session } = connect('client-1');
  const result = assert.rejects(runner.run('client-1', 'health_check', {}), { code: 'command_timeout' });
  mock.timers.tick(commands.health_check.timeoutMs);
  await result;
  runner.complete(session, succeeded(asked(connection), HEALTH));
});

test('each command has the time limit of the table', async ({ mock }) => {
  mock.timers.enable({ apis: ['setTimeout'] });
  for (const name of commandNames) {
    const { runner, connect } = openRunner();
    connect('client-1');
    let failure: unknown;
    const ended = runner
      .run('client-1', name, { path: '/data' })
      .catch((error: unknown) => (failure = error));
    mock.timers.tick(commands[name].timeoutMs - 1);
    await Promise.resolve();
    assert.equal(failure, undefined, name);
    mock.timers.tick(1);
    await ended;
    assert.match(
      String(failure),
      new RegExp(`did not respond in ${commands[name].timeoutMs / 1000} s`),
      name,
    );
  }
});

test('a command that the agent did not announce is not sent, and the error names its version', async () => {
  const { runner, connect } = openRunner();
  const { connection } = connect('client-1', { capabilities: ['health_check', 'list_pages'] });
  await assert.rejects(runner.run('client-1', 'list_directory', { path: '/data' }), {
    code: 'not_supported',
    message: 'Agent client-1 has version 0.1.0, which does not support list_directory. Update it.',
  });
  assert.deepEqual(connection.frames, []);
});

test('the end of a session fails only its own commands', async () => {
  const { runner, connect } = openRunner();
  const disconnected = connect('client-1');
  const there = connect('client-2');
  const failed = assert.rejects(runner.run('client-1', 'health_check', {}), { code: 'client_offline' });
  const result = runner.run('client-2', 'health_check', {});
  runner.sessionEnded(disconnected.session);
  await failed;
  runner.complete(there.session, succeeded(asked(there.connection), HEALTH));
  await result;
});

test('an agent without paged listing is not asked for pages', async () => {
  const { runner, connect } = openRunner();
  const { connection, session } = connect('client-1', { capabilities: ['list_directory'] });
  await assert.rejects(runner.run('client-1', 'list_directory', { path: '/data', prefix: 'app-' }), {
    code: 'not_supported',
    message:
      'Agent client-1 has version 0.1.0, which does not support list_directory with prefix. Update it.',
  });
  assert.deepEqual(connection.frames, []);
  const listing = { path: '/data', entries: [], truncated: false };
  const whole = runner.run('client-1', 'list_directory', { path: '/data' });
  const { command_id } = connection.sent('list_directory')[0] ?? assert.fail();
  runner.complete(session, { status: 'result', command_id, ok: true, data: listing });
  assert.deepEqual((await whole).result, listing);
});

const TOTALS = { bytes: 5, allocated_bytes: 4096, files: 1, directories: 0, unreadable: 0 };
const USAGE = {
  path: '/data',
  ...TOTALS,
  others: 0,
  repeated_links: 0,
  other_file_systems: 0,
  largest: [],
};
const progressOf = (command_id: string, data: Record<string, unknown> = TOTALS) =>
  ({ status: 'command_progress', command_id, data }) as const;

const TIMEOUT_MS = commands.disk_usage.timeoutMs;

test('progress is passed on, and the time limit counts from the last report', async ({ mock }) => {
  mock.timers.enable({ apis: ['setTimeout'] });
  const { runner, connect } = openRunner();
  const { connection, session } = connect('client-1');
  const seen: unknown[] = [];
  const onProgress = (progress: unknown) => seen.push(progress);
  const result = runner.run('client-1', 'disk_usage', { path: '/data' }, { onProgress });
  for (let count = 0; count < 3; count += 1) {
    mock.timers.tick(TIMEOUT_MS - 1);
    runner.progress(session, progressOf(asked(connection), { ...TOTALS, extra: 1 }));
  }
  mock.timers.tick(TIMEOUT_MS - 1);
  assert.deepEqual(connection.sent('cancel_command'), []);
  runner.complete(session, succeeded(asked(connection), USAGE));
  assert.deepEqual((await result).result, USAGE);
  assert.deepEqual(seen, [TOTALS, TOTALS, TOTALS]);
});

test('a command that reports no more progress is cancelled at the agent after its time limit', async ({
  mock,
}) => {
  mock.timers.enable({ apis: ['setTimeout'] });
  const { runner, connect } = openRunner();
  const { connection, session } = connect('client-1');
  const failed = assert.rejects(runner.run('client-1', 'disk_usage', { path: '/data' }), {
    code: 'command_timeout',
  });
  mock.timers.tick(TIMEOUT_MS);
  await failed;
  const { command_id } = connection.sent('disk_usage')[0] ?? assert.fail();
  assert.deepEqual(connection.sent('cancel_command'), [{ action: 'cancel_command', command_id }]);
  // The agent has not received it; a connection may have been lost meanwhile.
  runner.progress(session, progressOf(command_id));
  assert.equal(connection.sent('cancel_command').length, 2);
  runner.complete(session, succeeded(command_id, USAGE));
});

test('malformed progress, and progress of a command that reports none, do not extend the time limit', async ({
  mock,
}) => {
  mock.timers.enable({ apis: ['setTimeout'] });
  const { runner, connect } = openRunner();
  const { connection, session } = connect('client-1');
  for (const [name, data] of [
    ['disk_usage', { ...TOTALS, files: 'many' }],
    ['list_directory', TOTALS],
  ] as const) {
    let seen = 0;
    const onProgress = () => (seen += 1);
    const result = runner.run('client-1', name, { path: '/data' }, { onProgress });
    const failed = assert.rejects(result, { code: 'command_timeout' });
    mock.timers.tick(commands[name].timeoutMs - 1);
    runner.progress(session, progressOf(asked(connection), data));
    mock.timers.tick(1);
    await failed;
    assert.equal(seen, 0);
  }
});

test('an aborted command is cancelled at the agent; an agent that knows no cancel_command is not sent any', async () => {
  const { runner, connect } = openRunner();
  const { connection } = connect('client-1');
  for (const name of ['disk_usage', 'list_directory'] as const) {
    const stop = new AbortController();
    const result = runner.run('client-1', name, { path: '/data' }, { signal: stop.signal });
    stop.abort(new Error('disconnected'));
    await assert.rejects(result, { message: 'disconnected' });
  }
  const { command_id } = connection.sent('disk_usage')[0] ?? assert.fail();
  assert.deepEqual(connection.sent('cancel_command'), [{ action: 'cancel_command', command_id }]);
});

test('progress from another agent cancels nothing of this one', async () => {
  const { runner, connect } = openRunner();
  const { connection, session } = connect('client-1');
  const other = connect('client-2');
  let seen = 0;
  const onProgress = () => (seen += 1);
  const result = runner.run('client-1', 'disk_usage', { path: '/data' }, { onProgress });
  runner.progress(other.session, progressOf(asked(connection)));
  assert.equal(other.connection.sent('cancel_command').length, 1);
  assert.deepEqual([seen, connection.sent('cancel_command').length], [0, 0]);
  runner.complete(session, succeeded(asked(connection), USAGE));
  await result;
});
