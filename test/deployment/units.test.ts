import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { readConfig } from '../../packages/agent/src/config.ts';
import { readCommandLine } from '../../packages/server/src/config/command-line.ts';
import { isSettingName } from '../../packages/server/src/config/settings.ts';
import { type Assignment, readAssignments, valuesOf } from './unit-file.ts';

const folder = join(import.meta.dirname, '../../deploy/systemd');
const hasAnalyze = spawnSync('systemd-analyze', ['--version']).status === 0;
const skip = hasAnalyze ? false : 'systemd-analyze is not installed (Debian package systemd)';
/** Ten times the value that systemd prints: 2.0. */
const MAX_EXPOSURE = 20;
/** Variables of Node.js and of the shell's search for it, which are not settings. */
const notSettings = new Set(['NODE_ENV', 'PATH']);

for (const name of ['backhaul-server', 'backhaul-agent']) {
  describe(`${name}.service`, () => {
    test('has only keys that systemd understands', { skip }, async () => {
      await using unit = await startableCopy(name);
      const { status, stderr } = spawnSync('systemd-analyze', ['verify', unit.path], { encoding: 'utf8' });
      assert.equal(stderr, '');
      assert.equal(status, 0);
    });

    test(`has an exposure of at most ${MAX_EXPOSURE / 10} of 10`, { skip }, async () => {
      await using unit = await startableCopy(name);
      const args = ['security', '--offline=true', '--no-pager', `--threshold=${MAX_EXPOSURE}`, unit.path];
      const { status, stdout } = spawnSync('systemd-analyze', args, { encoding: 'utf8' });
      assert.match(stdout, /Overall exposure level/);
      assert.equal(status, 0, stdout);
    });

    test('lets Node.js compile, and restarts without limit except after a wrong setting', async () => {
      const unit = await read(`${name}.service`);
      assert.deepEqual(valuesOf(unit, 'MemoryDenyWriteExecute'), []);
      assert.deepEqual(valuesOf(unit, 'Restart'), ['always']);
      assert.deepEqual(valuesOf(unit, 'StartLimitIntervalSec'), ['0']);
      assert.deepEqual(valuesOf(unit, 'RestartPreventExitStatus'), ['2']);
    });
  });
}

test('the server knows the flags and settings of its unit', async () => {
  const unit = await read('backhaul-server.service');
  const [, ...flags] = commandOf(unit);
  const commandLine = readCommandLine(flags);
  assert.deepEqual(commandLine.problems, []);
  assert.equal(commandLine.configFile, '%d/server.json');
  const names = [...variablesOf(unit), ...(await read('server.env'))].map(({ key }) => key);
  assert.ok(names.includes('S3_BUCKET_NAME') && names.includes('DATABASE_URL'));
  const unknown = names.filter((key) => !notSettings.has(key) && !isSettingName(key));
  assert.deepEqual(unknown, []);
});

test('the agent accepts the flags and the address of its unit', async () => {
  const unit = await read('backhaul-agent.service');
  const variables = [...variablesOf(unit), ...(await read('agent.env'))];
  const known = new Set([...notSettings, 'BACKHAUL_URL', 'AGENT_FLAGS']);
  assert.deepEqual(
    variables.filter(({ key }) => !known.has(key)),
    [],
  );
  const [agentFlags = ''] = valuesOf(variables, 'AGENT_FLAGS');
  const [, ...argv] = commandOf(unit).flatMap((word) =>
    word === '$AGENT_FLAGS' ? agentFlags.split(' ') : [word],
  );
  const env = Object.fromEntries(variables.map(({ key, value }) => [key, value]));
  const invocation = readConfig(argv, { env, cwd: '/', terminal: false, os: 'linux' });
  assert.ok(invocation.kind === 'run');
  const bound = valuesOf(await read('backhaul-agent.service.d/reads.conf'), 'BindReadOnlyPaths');
  // With a dash the unit starts even if the directory is missing.
  assert.deepEqual(
    invocation.config.allow,
    bound.map((directory) => directory.replace(/^-/, '')),
  );
});

test('the unit limits the agent’s share of the machine', async () => {
  const unit = await read('backhaul-agent.service');
  const only = (key: string) => valuesOf(unit, key).join();
  // The agent stays below 160 MiB; the kernel adds cached pages of files to that.
  assert.equal(only('MemoryMax'), '256M');
  assert.ok(
    Number(only('CPUWeight')) < 100 && Number(only('IOWeight')) < 100,
    '100 is the default of other units',
  );
  assert.ok(only('LogRateLimitIntervalSec') !== '' && Number(only('LogRateLimitBurst')) > 0);
});

test('the agent has a directory for its renewed token, which no other account can read', async () => {
  const unit = await read('backhaul-agent.service');
  assert.deepEqual(valuesOf(unit, 'StateDirectory'), ['backhaul-agent']);
  assert.deepEqual(valuesOf(unit, 'StateDirectoryMode'), ['0700']);
});

async function read(file: string): Promise<Assignment[]> {
  return readAssignments(await readFile(join(folder, file), 'utf8'));
}

function commandOf(unit: readonly Assignment[]): string[] {
  const [command = ''] = valuesOf(unit, 'ExecStart');
  return command.split(' ');
}

/** Variables that `Environment=` sets. */
function variablesOf(unit: readonly Assignment[]): Assignment[] {
  return valuesOf(unit, 'Environment').flatMap(readAssignments);
}

/** A copy of the unit with an existing program, because systemd checks that. */
async function startableCopy(name: string): Promise<AsyncDisposable & { readonly path: string }> {
  const text = await readFile(join(folder, `${name}.service`), 'utf8');
  const directory = await mkdtemp(join(tmpdir(), 'backhaul-units-'));
  const path = join(directory, `${name}.service`);
  await writeFile(path, text.replace(/^ExecStart=\S+/m, 'ExecStart=/bin/true'));
  return { path, [Symbol.asyncDispose]: () => rm(directory, { recursive: true }) };
}

test('a directory that is missing does not keep the agent from starting', async () => {
  const conf = await readFile(join(folder, 'backhaul-agent.service.d', 'reads.conf'), 'utf8');
  // Without the hyphen the unit fails with 226/NAMESPACE at each restart (systemd.exec(5)).
  const bound = [...conf.matchAll(/^BindReadOnlyPaths=(.*)$/gm)].map(([, value = '']) => value);
  assert.deepEqual(bound, ['-/srv/reports']);
});
