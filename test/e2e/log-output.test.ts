import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, fstatSync, openSync, readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { binPath, type ProgramName } from '../harness/program.ts';
import { type TemporaryDirectory, temporaryDirectory } from '../harness/temporary-directory.ts';

/** Settings with which the server writes its first lines: the store's port is closed. */
const settings = {
  S3_ENDPOINT: 'http://127.0.0.1:9',
  S3_BUCKET_NAME: 'files',
  AWS_ACCESS_KEY_ID: 'a',
  AWS_SECRET_ACCESS_KEY: 'b',
  JWT_SECRET: 'a-secret-of-more-than-thirty-two-bytes',
  HOST: '127.0.0.1',
};

describe('what programs print', { timeout: 120_000 }, () => {
  let directory: TemporaryDirectory;
  before(async () => {
    directory = await temporaryDirectory();
  });
  after(() => directory[Symbol.asyncDispose]());

  /** Runs a program with its output in a file, as systemd could do, until the file has `until`. */
  async function linesOf(
    name: ProgramName,
    args: readonly string[],
    { env = {}, until, journal }: { env?: Record<string, string>; until: RegExp; journal: boolean },
  ): Promise<string[]> {
    const file = directory.join(`${name}-${String(journal)}-${String(until).length}.log`);
    const descriptor = openSync(file, 'w');
    const { dev, ino } = fstatSync(descriptor);
    const stream = journal ? `${dev}:${ino}` : `${dev}:${ino + 1}`;
    const child = spawn(process.execPath, [binPath(name), ...args], {
      cwd: directory.path,
      env: { PATH: process.env['PATH'], ...env, JOURNAL_STREAM: stream },
      stdio: ['ignore', descriptor, descriptor],
    });
    const exit = once(child, 'exit');
    closeSync(descriptor);
    for (const deadline = performance.now() + 60_000; !until.test(readFileSync(file, 'utf8'));) {
      assert.ok(performance.now() < deadline, readFileSync(file, 'utf8'));
      await sleep(50);
    }
    child.kill('SIGTERM');
    await exit;
    return readFileSync(file, 'utf8').trimEnd().split('\n');
  }

  const runs = [
    ['backhaul-server', ['--port', '0'], { ...settings, DATABASE_URL: 'sqlite:one.sqlite' }, /"listening"/],
    [
      'backhaul-agent',
      ['--client-id', 'till-7', '--allow', '/srv', '--server-url', 'ws://127.0.0.1:9', '--token', 'a.b.c'],
      {},
      /cannot be reached/,
    ],
    [
      'backhaul-object-store',
      ['--port', '0', '--data', 'store', '--access-key', 'k', '--secret-key', 's'],
      {},
      /"listening"/,
    ],
  ] as const;

  test('server, agent and object store write priorities to the stream that JOURNAL_STREAM names, and to no other', async () => {
    for (const [name, args, env, until] of runs) {
      const filed = await linesOf(name, args, { env, until, journal: true });
      for (const line of filed) {
        const [, priority, json = ''] = /^<(\d)>(\{.*\})$/.exec(line) ?? [];
        const { level, time } = JSON.parse(json) as { level: string; time: string };
        assert.equal(priority, { debug: '7', info: '6', warn: '4', error: '3' }[level], line);
        assert.ok(!Number.isNaN(Date.parse(time)), line);
      }
      if (name !== 'backhaul-object-store')
        assert.ok(
          filed.some((line) => line.startsWith('<4>')),
          name,
        );
      const plain = await linesOf(name, args, { env, until, journal: false });
      for (const line of plain) assert.match(line, /^\{"level":/, name);
    }
  });

  test('a mistake in settings has the priority of an error', async () => {
    const lines = await linesOf('backhaul-server', [], { until: /JWT_SECRET/, journal: true });
    for (const line of lines) assert.match(line, /^<3>/);
    const [agent] = await linesOf('backhaul-agent', [], { until: /client-id/, journal: true });
    assert.match(agent ?? '', /^<3>backhaul-agent: --client-id/);
  });

  test('on a terminal the server writes lines for people, and a backup is a sentence', (context) => {
    // script(1) of util-linux runs a command on its own terminal.
    if (spawnSync('script', ['--version']).error !== undefined) return context.skip('needs script(1)');
    const env = { PATH: process.env['PATH'], TERM: 'dumb', ...settings, DATABASE_URL: 'sqlite:two.sqlite' };
    const onTerminal = (command: string): string =>
      spawnSync('script', ['-qec', command, '/dev/null'], { cwd: directory.path, encoding: 'utf8', env })
        .stdout;
    const server = `${process.execPath} ${binPath('backhaul-server')}`;
    const shown = onTerminal(`timeout 8 ${server} --port 0`);
    assert.match(shown, /^\d\d:\d\d:\d\d info {2}new database created database=/m);
    assert.match(shown, /^\d\d:\d\d:\d\d warn {2}object store unreachable/m);
    assert.match(
      onTerminal(`${server} backup copy.sqlite`),
      /^Backed up \S+ to \S+: \d+ bytes in \d+ ms\.\r?$/m,
    );
  });
});
