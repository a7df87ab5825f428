import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { mkdir, mkdtemp, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { after, before } from 'node:test';
import { fileURLToPath } from 'node:url';
import { AgentFixture, MiB, prepareMessage, runUpload } from '../../../test/harness/agent/agent-fixture.ts';
import { FakeServer, type FakeSession, within } from '../../../test/doubles/fake-server.ts';
import { cannotMount, FaultyMount } from '../../../test/doubles/faulty-mount.ts';

// Must be set before the first use of the thread pool.
process.env['UV_THREADPOOL_SIZE'] = '64';

const options = { skip: cannotMount, timeout: 120_000 };
if (cannotMount !== false) console.error(`NOT TESTED: file systems that hang, because ${cannotMount}`);

/** Long enough for a call that does return, on a busy machine. */
const TIMEOUT_MS = 5000;

let directory = '';
before(async () => {
  directory = await realpath(await mkdtemp(join(tmpdir(), 'backhaul-silent-')));
});
after(() => rm(directory, { recursive: true, force: true }));

interface Fixture extends AsyncDisposable {
  readonly agent: AgentFixture;
  readonly mount: FaultyMount;
  readonly session: FakeSession;
}

async function startFixture(): Promise<Fixture> {
  const path = await mkdtemp(join(directory, 'mount-'));
  const mount = await FaultyMount.at(path);
  const agent = await AgentFixture.start({
    config: { allow: [directory], poolThreads: 64, maxUploads: 8 },
    fileTimeoutMs: TIMEOUT_MS,
  });
  return {
    agent,
    mount,
    session: await agent.server.acceptAndWelcome(),
    async [Symbol.asyncDispose]() {
      // First, so that hanging calls return.
      await mount[Symbol.asyncDispose]();
      await agent[Symbol.asyncDispose]();
    },
  };
}

async function health(session: FakeSession): Promise<Record<string, unknown>> {
  const command_id = '0192f4c1-0000-7000-8000-000000000001';
  session.send({ action: 'health_check', command_id });
  const result = await session.next('result');
  assert.ok(result.ok);
  return result.data;
}

for (const name of ['hangs-lookup', 'hangs-open', 'hangs-read', 'hangs-read-small']) {
  test(
    `a file that ${name.replaceAll('-', ' ')} fails with the reason and affects nothing else`,
    options,
    async () => {
      await using setup = await startFixture();
      const { agent, mount, session } = setup;
      const bad = await runUpload(session, agent.store, join(mount.path, name));
      assert.ok(bad.status === 'failed');
      assert.equal(bad.error, 'read_failed');
      assert.match(bad.message, /The file system of ".*" has not responded for 5 s\./);
      assert.ok(mount.events.includes(`hangs ${name}`));
      const { hanging_file_calls: calls, hanging_mounts: mounts } = await health(session);
      assert.ok(Number(calls) > 0);
      assert.deepEqual(mounts, [mount.path]);
      assert.equal(agent.log.filter((line) => line.includes('file system not responding')).length, 1);
      // Another file on the same disk, in a thread and on the main thread.
      const good = await runUpload(session, agent.store, join(mount.path, 'good'));
      assert.equal(good.status, 'completed', JSON.stringify(good));
      // Refused immediately, so that retries do not block more threads.
      const again = await runUpload(session, agent.store, join(mount.path, name));
      assert.ok(again.status === 'failed' && again.error === 'read_failed');
      assert.ok(
        Number((await health(session))['hanging_file_calls']) <= 5,
        'four per path, and a hash thread',
      );
    },
  );
}

test('a file that hangs when it is closed is completed', options, async () => {
  await using setup = await startFixture();
  const { agent, mount, session } = setup;
  const final = await runUpload(session, agent.store, join(mount.path, 'hangs-close'));
  assert.equal(final.status, 'completed', JSON.stringify(final));
  await mount.waitFor('hangs hangs-close');
  const good = await runUpload(session, agent.store, join(mount.path, 'good'));
  assert.equal(good.status, 'completed', JSON.stringify(good));
});

test(
  'listing a hanging directory fails, and a directory with hanging entries is listed',
  options,
  async () => {
    await using setup = await startFixture();
    const { mount, session } = setup;
    const list = async (path: string) => {
      session.send({ action: 'list_directory', command_id: '0192f4c1-0000-7000-8000-000000000002', path });
      return await session.next('result');
    };
    const bad = await list(join(mount.path, 'hangs-list'));
    assert.ok(!bad.ok);
    assert.equal(bad.error, 'read_failed');
    const good = await list(mount.path);
    assert.ok(good.ok);
    const { entries } = good.data as { entries: Array<{ name: string; size: number | null }> };
    const sizes = new Map(entries.map(({ name, size }) => [name, size]));
    assert.deepEqual([sizes.get('good'), sizes.get('hangs-lookup')], [20 * MiB, null]);
  },
);

test('a cancel immediately ends an upload whose read hangs', options, async () => {
  await using setup = await startFixture();
  const { agent, mount, session } = setup;
  for (const name of ['hangs-read', 'hangs-read-small', 'hangs-open']) {
    const request = prepareMessage(join(mount.path, name));
    session.send(request);
    await mount.waitFor(`hangs ${name}`);
    session.send({ action: 'cancel_upload', upload_id: request.upload_id, attempt: 1, reason: 'enough' });
    await health(session);
    assert.equal(agent.app.activeUploads, 0, 'its slot is free');
  }
  const good = await runUpload(session, agent.store, join(mount.path, 'good'));
  assert.equal(good.status, 'completed', JSON.stringify(good));
});

for (const name of ['eio-once', 'eio-once-small']) {
  test(`a single read error (${name}) is retried`, options, async () => {
    await using setup = await startFixture();
    const { agent, mount, session } = setup;
    const final = await runUpload(session, agent.store, join(mount.path, name));
    assert.equal(final.status, 'completed', JSON.stringify(final));
    assert.ok(mount.events.includes(`fails ${name}`));
  });
}

test('a persistent read error is read_failed after a few retries', options, async () => {
  await using setup = await startFixture();
  const { agent, mount, session } = setup;
  const final = await runUpload(session, agent.store, join(mount.path, 'eio'));
  assert.ok(final.status === 'failed' && final.error === 'read_failed');
  assert.ok(mount.events.filter((line) => line === 'fails eio').length >= 5);
});

test(
  'a hanging token file and credentials directory delay neither the start nor the log',
  options,
  async () => {
    const dead = await mkdtemp(join(directory, 'dead-'));
    await using _mount = await FaultyMount.at(dead, 'dead');
    const path = join(dead, 'token');
    const config = {
      token: { kind: 'file', path },
      credentialsDirectory: join(dead, 'credentials'),
    } as const;
    await using agent = await within(
      20_000,
      'the start',
      AgentFixture.start({ config, fileTimeoutMs: 10_000 }),
    );
    const line = await within(30_000, 'a reason', agent.logged('no token'));
    assert.ok(
      line.includes(`no token: --token-file ${path} cannot be read: the file system has not responded`),
      line,
    );
  },
);

for (const isProcess1 of [false, true]) {
  const name = `SIGTERM ends the agent${isProcess1 ? ' as process 1' : ''} while its file calls hang`;
  test(name, options, async () => {
    const root = join(directory, isProcess1 ? 'root-1' : 'root');
    const [dead, at] = [join(root, 'dead'), join(root, 'odd')];
    for (const each of [dead, at]) await mkdir(each, { recursive: true });
    await using server = await FakeServer.start();
    await using mount = await FaultyMount.at(dead, 'dead');
    const program = fileURLToPath(new URL('../bin/backhaul-agent.js', import.meta.url));
    const flags = ['--client-id', 'restaurant-1', '--allow', root, '--server-url', server.url];
    const command = [process.execPath, program, ...flags];
    const unshare = ['unshare', '--pid', '--fork', '--mount-proc', '--kill-child'];
    const [file = '', ...args] = isProcess1 ? [...unshare, ...command] : command;
    const started = spawn(file, args, { env: { ...process.env, BACKHAUL_TOKEN: 'token' }, stdio: 'pipe' });
    try {
      const log: string[] = [];
      started.stderr.on('data', (chunk) => log.push(String(chunk)));
      const session = await server.acceptAndWelcome();
      for (const name of ['a', 'b']) session.send(prepareMessage(join(dead, name)));
      await mount.waitFor('hangs dead');
      const exit = once(started, 'exit');
      process.kill(isProcess1 ? onlyChildOf(started.pid) : Number(started.pid), 'SIGTERM');
      // systemd accepts this signal as a clean stop; for process 1 a container runtime sees an exit code.
      const stopped = isProcess1 ? [0, null] : [null, 'SIGTERM'];
      assert.deepEqual(await within(10_000, 'the exit', exit), stopped, log.join(''));
      assert.match(log.join(''), /"file_calls":[1-9]/);
    } finally {
      started.kill('SIGKILL');
    }
  });
}

function onlyChildOf(pid: number | undefined): number {
  return Number(readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8'));
}
