import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, readdir, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, test } from 'node:test';
import { startPull } from '../testing/pull.ts';
import { type CliResult, finishCli, program, runCli, startCli } from '../testing/run-cli.ts';
import { scratchDirectory } from '../testing/scratch-directory.ts';
import { UPLOAD_ID } from '../testing/upload-record.ts';

const DOWNLOAD = ['download', '--client-id', 'restaurant-1'];
const content = randomBytes(12 * 1024 * 1024);
const onLinux = { skip: process.platform !== 'linux' && 'needs Linux' };
const asRoot = { skip: process.getuid?.() !== 0 && 'only root can mount' };

/** In a shell that first prepares the place: `"$@"` is the command line, `$1` after it the directory. */
async function runInShell(
  script: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv,
): Promise<CliResult> {
  const child = spawn('bash', ['-c', script, 'bash', process.execPath, program, ...args], {
    env: { ...env, PATH: process.env['PATH'] },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  return await finishCli(child);
}

/** One line says what is wrong, one what to do. */
function assertToldInTwoLines(stderr: string, problem: RegExp): void {
  const lines = stderr.trimEnd().split('\n');
  assert.match(lines.at(-2) ?? '', problem);
  assert.match(lines.at(-1) ?? '', new RegExp(`→ .*backhaul content ${UPLOAD_ID} --output PATH`));
  assert.doesNotMatch(stderr, /unexpected fault|\n\s+at /);
}

describe('an output that does not take the file', { concurrency: 4 }, () => {
  test('is refused before the trigger if its directory may not be written', onLinux, async () => {
    await using directory = await scratchDirectory();
    await using pull = await startPull(content);
    // Not even root can make a file there.
    const link = path.join(directory.path, 'link');
    await symlink('/sys/kernel/mm', link);
    for (const output of [
      '/sys/kernel/mm/report.bin',
      `${link}/`,
      '/sys/kernel/mm',
      '/dev/null/report.bin',
    ]) {
      const { code, stderr } = await runCli([...DOWNLOAD, '--output', output], { env: pull.server.env });
      assert.equal(code, 2, output);
      assert.match(stderr, /cannot be written: .*\(E[A-Z]+\)|There is no directory/, output);
    }
    assert.deepEqual(pull.server.requests, []);
  });

  test(
    'is refused before the trigger if the file may be written, but its directory not',
    asRoot,
    async () => {
      await using directory = await scratchDirectory();
      await using pull = await startPull(content);
      const place = path.join(directory.path, 'mounted');
      await mkdir(place);
      await writeFile(path.join(place, 'report.bin'), 'old');
      const script = `unshare -m bash -c 'mount --bind "${place}" "${place}" && mount -o remount,ro,bind "${place}" && exec "$@"' bash "$@"`;
      const args = [...DOWNLOAD, '--overwrite', '--output', path.join(place, 'report.bin')];
      const { code, stderr } = await runInShell(script, args, pull.server.env);
      assert.equal(code, 2, stderr);
      assert.match(stderr, /read-only file system \(EROFS\)/);
      assert.deepEqual(pull.server.requests, []);
    },
  );

  test('is refused before the trigger on a disk without room for a block', asRoot, async () => {
    await using directory = await scratchDirectory();
    await using pull = await startPull(content);
    const script = `unshare -m bash -c 'mount -t tmpfs -o size=64k none "${directory.path}" && head -c 65536 /dev/zero > "${directory.path}/full" && exec "$@"' bash "$@"`;
    const args = [...DOWNLOAD, '--output', path.join(directory.path, 'report.bin')];
    const { code, stderr } = await runInShell(script, args, pull.server.env);
    assert.equal(code, 2, stderr);
    assert.match(stderr, /no space left on device \(ENOSPC\)/);
    assert.deepEqual(pull.server.requests, []);
  });

  test('that is full half way is told with the way on, and nothing is left there', asRoot, async () => {
    await using directory = await scratchDirectory();
    await using pull = await startPull(content);
    const script = `unshare -m bash -c 'mount -t tmpfs -o size=4m none "${directory.path}"; "$@"; code=$?; ls -A "${directory.path}"; exit $code' bash "$@"`;
    const args = [...DOWNLOAD, '--output', path.join(directory.path, 'report.bin')];
    const { code, stdout, stderr } = await runInShell(script, args, pull.server.env);
    assert.equal(code, 1, stderr);
    assertToldInTwoLines(stderr, /report\.bin cannot be written: no space left on device \(ENOSPC\)\.$/);
    assert.doesNotMatch(stdout, /\.part|report\.bin$/m);
  });

  test(
    'that is full is told, be it a device, standard output or that of another command',
    onLinux,
    async () => {
      await using pull = await startPull(content);
      const device = await runCli([...DOWNLOAD, '--output', '/dev/full'], { env: pull.server.env });
      const stdout = await runInShell('"$@" > /dev/full', [...DOWNLOAD, '--output', '-'], pull.server.env);
      for (const { code, stderr } of [device, stdout]) {
        assert.equal(code, 1, stderr);
        assertToldInTwoLines(stderr, /cannot be written: no space left on device \(ENOSPC\)\.$/);
      }
      const watching = await runInShell('"$@" > /dev/full', DOWNLOAD, pull.server.env);
      assert.equal(watching.code, 1);
      assertToldInTwoLines(watching.stderr, /standard output cannot be written/);
      const help = await runInShell('"$@" > /dev/full', ['--help'], {});
      assert.equal(help.code, 1);
      assert.match(help.stderr, /^backhaul: standard output cannot be written: [^\n]+\n$/);
    },
  );

  test('with --json is told with the upload', onLinux, async () => {
    await using pull = await startPull(content);
    const args = ['content', UPLOAD_ID, '--output', '/dev/full', '--json'];
    const { code, stderr } = await runCli(args, { env: pull.server.env });
    assert.equal(code, 1);
    const { error } = JSON.parse(stderr) as { error: Record<string, unknown> };
    assert.equal(error['code'], 'output');
    assert.equal(error['upload_id'], UPLOAD_ID);
  });

  test('that stops reading before the end is not exit code 0', async () => {
    await using pull = await startPull(content);
    for (const args of [
      [...DOWNLOAD, '--output', '-'],
      ['content', UPLOAD_ID, '--output', '-'],
    ]) {
      const child = startCli(args, { env: pull.server.env });
      await once(child.stdout, 'data');
      child.stdout.destroy();
      let stderr = '';
      child.stderr.on('data', (chunk) => (stderr += String(chunk)));
      const [code] = (await once(child, 'close')) as [number];
      assert.equal(code, 141, stderr);
      assertToldInTwoLines(stderr, /The reader of standard output stopped before the end\.$/);
    }
  });

  test('leaves no file of the trial', async () => {
    await using directory = await scratchDirectory();
    await using pull = await startPull(content);
    const output = path.join(directory.path, 'report.bin');
    const { code } = await runCli([...DOWNLOAD, '--output', output], { env: pull.server.env });
    assert.equal(code, 0);
    assert.deepEqual(await readdir(directory.path), ['report.bin']);
  });
});
