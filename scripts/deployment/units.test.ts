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
const skip = hasAnalyze ? false : 'systemd-analyze is not on this machine (Debian package systemd)';
/** Ten times what systemd prints: 2.0. */
const MAX_EXPOSURE = 20;
/** Read by Node.js and by the shell's search for it. */
const surroundings = new Set(['NODE_ENV', 'PATH']);

for (const name of ['backhaul-server', 'backhaul-agent']) {
  describe(`${name}.service`, () => {
    test('is understood by systemd, to the last key', { skip }, async () => {
      await using unit = await startableCopy(name);
      const { status, stderr } = spawnSync('systemd-analyze', ['verify', unit.path], { encoding: 'utf8' });
      assert.equal(stderr, '');
      assert.equal(status, 0);
    });

    test(`is exposed by ${MAX_EXPOSURE / 10} of 10 at most`, { skip }, async () => {
      await using unit = await startableCopy(name);
      const args = ['security', '--offline=true', '--no-pager', `--threshold=${MAX_EXPOSURE}`, unit.path];
      const { status, stdout } = spawnSync('systemd-analyze', args, { encoding: 'utf8' });
      assert.match(stdout, /Overall exposure level/);
      assert.equal(status, 0, stdout);
    });

    test('lets Node.js compile, and starts again for ever but after a wrong setting', async () => {
      const unit = await read(`${name}.service`);
      assert.deepEqual(valuesOf(unit, 'MemoryDenyWriteExecute'), []);
      assert.deepEqual(valuesOf(unit, 'Restart'), ['always']);
      assert.deepEqual(valuesOf(unit, 'StartLimitIntervalSec'), ['0']);
      assert.deepEqual(valuesOf(unit, 'RestartPreventExitStatus'), ['2']);
    });
  });
}

test('the server knows the flags and settings that its unit gives it', async () => {
  const unit = await read('backhaul-server.service');
  const [, ...flags] = commandOf(unit);
  const commandLine = readCommandLine(flags);
  assert.deepEqual(commandLine.problems, []);
  assert.equal(commandLine.configFile, '%d/server.json');
  const names = [...variablesOf(unit), ...(await read('server.env'))].map(({ key }) => key);
  assert.ok(names.includes('S3_BUCKET_NAME') && names.includes('DATABASE_URL'));
  const unknown = names.filter((key) => !surroundings.has(key) && !isSettingName(key));
  assert.deepEqual(unknown, []);
});

test('the agent takes the flags and address that its unit gives it', async () => {
  const unit = await read('backhaul-agent.service');
  const variables = [...variablesOf(unit), ...(await read('agent.env'))];
  const known = new Set([...surroundings, 'BACKHAUL_URL', 'AGENT_FLAGS']);
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
  // A dash: the unit starts without a directory that is not there.
  assert.deepEqual(
    invocation.config.allow,
    bound.map((directory) => directory.replace(/^-/, '')),
  );
});

test('the agent is a small neighbour on its machine', async () => {
  const unit = await read('backhaul-agent.service');
  const only = (key: string) => valuesOf(unit, key).join();
  // It promises 160 MiB, of which the kernel counts cached pages of files on top.
  assert.equal(only('MemoryMax'), '256M');
  assert.ok(Number(only('CPUWeight')) < 100 && Number(only('IOWeight')) < 100, '100 is what others have');
  assert.ok(only('LogRateLimitIntervalSec') !== '' && Number(only('LogRateLimitBurst')) > 0);
});

async function read(file: string): Promise<Assignment[]> {
  return readAssignments(await readFile(join(folder, file), 'utf8'));
}

function commandOf(unit: readonly Assignment[]): string[] {
  const [command = ''] = valuesOf(unit, 'ExecStart');
  return command.split(' ');
}

/** What `Environment=` sets. */
function variablesOf(unit: readonly Assignment[]): Assignment[] {
  return valuesOf(unit, 'Environment').flatMap(readAssignments);
}

/** The unit with a program that is there, for systemd looks. */
async function startableCopy(name: string): Promise<AsyncDisposable & { readonly path: string }> {
  const text = await readFile(join(folder, `${name}.service`), 'utf8');
  const directory = await mkdtemp(join(tmpdir(), 'backhaul-units-'));
  const path = join(directory, `${name}.service`);
  await writeFile(path, text.replace(/^ExecStart=\S+/m, 'ExecStart=/bin/true'));
  return { path, [Symbol.asyncDispose]: () => rm(directory, { recursive: true }) };
}

test('a directory that is missing does not keep the agent from starting', async () => {
  const conf = await readFile(join(folder, 'backhaul-agent.service.d', 'reads.conf'), 'utf8');
  // Without the hyphen systemd ends the unit with 226/NAMESPACE, and starts it again, and so on (systemd.exec(5)).
  const bound = [...conf.matchAll(/^BindReadOnlyPaths=(.*)$/gm)].map(([, value = '']) => value);
  assert.deepEqual(bound, ['-/srv/reports']);
});
