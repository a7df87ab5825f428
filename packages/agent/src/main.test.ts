import assert from 'node:assert/strict';
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, realpath, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import test from 'node:test';
import { promisify } from 'node:util';
import { downloadMessage, MiB, prepareMessage } from '../../../test/harness/agent/agent-fixture.ts';
import { FakeServer, type FakeSession, within } from '../../../test/doubles/fake-server.ts';
import { FakeStore } from '../../../test/doubles/fake-store.ts';
import { AGENT_VERSION } from './version.ts';

const program = fileURLToPath(new URL('../bin/backhaul-agent.js', import.meta.url));

test('--version prints the version of package.json', async () => {
  const { stdout } = await promisify(execFile)(process.execPath, [program, '--version']);
  assert.equal(stdout, `${AGENT_VERSION}\n`);
  const manifest = JSON.parse(await readFile(new URL('../package.json', import.meta.url), 'utf8')) as {
    version: string;
  };
  assert.equal(AGENT_VERSION, manifest.version);
});

test('a usage error is printed to stderr and exits with 2', async () => {
  const run = promisify(execFile)(
    process.execPath,
    [program, '--client-id', 'a', '--server-url', 'nonsense'],
    {
      env: { BACKHAUL_TOKEN: 'token' },
    },
  );
  await assert.rejects(run, (error: { code?: number; stderr?: string; stdout?: string }) => {
    assert.equal(error.code, 2);
    assert.match(error.stderr ?? '', /--server-url/);
    assert.equal(error.stdout, '');
    return true;
  });
});

test('an invalid proxy variable that the agent does not use is logged as a warning, and the agent starts', async () => {
  const args = ['--client-id', 'a', '--server-url', 'wss://127.0.0.1:1', '--allow', '/srv'];
  const env = { BACKHAUL_TOKEN: 'token', HTTP_PROXY: 'socks5://u:hunter2@proxy:1080' };
  const agent = spawn(process.execPath, [program, ...args, '--log-format', 'json'], { env, stdio: 'pipe' });
  let log = '';
  for await (const chunk of agent.stderr.setEncoding('utf8')) {
    log += String(chunk);
    if (log.includes('agent started')) agent.kill('SIGTERM');
  }
  assert.match(log, /"level":"warn".*"variable":"HTTP_PROXY".*unused proxy variable ignored/);
  assert.match(log, /agent started/);
  assert.doesNotMatch(log, /hunter2/);
});

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  test(`${signal} during an upload closes the connection and exits with 0 soon`, () =>
    withAgent(async ({ agent, session, store, path }) => {
      const putStarted = Promise.withResolvers<void>();
      store.fault = () => {
        putStarted.resolve();
        return true;
      };
      session.send(prepareMessage(path));
      session.send(downloadMessage(path, await session.next('prepared'), store));
      await putStarted.promise;
      const closed = session.closed();
      const exit = once(agent, 'exit');
      agent.kill(signal);
      assert.equal(await closed, 1001);
      assert.deepEqual(await within(3000, 'the exit', exit), [0, null]);
    }));
}

test('a server that does not complete the close handshake delays the exit only briefly', () =>
  withAgent(async ({ agent, session }) => {
    session.socket.pause();
    const exit = once(agent, 'exit');
    agent.kill('SIGTERM');
    assert.deepEqual(await within(3000, 'the exit', exit), [0, null]);
  }));

test('a second signal stops immediately', () =>
  withAgent(async ({ agent, session }) => {
    session.socket.pause(); // Closing takes a second now.
    const exit = once(agent, 'exit');
    agent.kill('SIGTERM');
    for await (const chunk of agent.stderr ?? []) if (String(chunk).includes('stopping')) break;
    agent.kill('SIGTERM');
    assert.deepEqual(await within(900, 'the exit', exit), [1, null]);
  }));

interface Running {
  readonly agent: ChildProcess;
  readonly session: FakeSession;
  readonly store: FakeStore;
  /** Path of an allowed file. */
  readonly path: string;
}

async function withAgent(use: (running: Running) => Promise<void>): Promise<void> {
  await using server = await FakeServer.start();
  await using store = await FakeStore.start();
  const directory = await realpath(await mkdtemp(join(tmpdir(), 'backhaul-main-')));
  const path = join(directory, 'file');
  await writeFile(path, Buffer.alloc(6 * MiB));
  const flags = ['--client-id', 'restaurant-1', '--file', path, '--server-url', server.url];
  const agent = spawn(process.execPath, [program, ...flags], {
    env: { BACKHAUL_TOKEN: 'token' },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  try {
    await use({ agent, session: await server.acceptAndWelcome(), store, path });
  } finally {
    agent.kill('SIGKILL');
    await rm(directory, { recursive: true });
  }
}
