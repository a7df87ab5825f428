import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, readdir, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, test } from 'node:test';
import {
  type CliResult,
  finishCli,
  program,
  runCli,
  startCli,
} from '../../../../test/harness/cli/run-cli.ts';
import { temporaryDirectory } from '../../../../test/harness/temporary-directory.ts';
import { startUpload } from '../../../../test/harness/cli/upload-fixture.ts';
import { UPLOAD_ID } from '../../../../test/harness/upload-record.ts';

const DOWNLOAD = ['download', '--client-id', 'restaurant-1'];
const content = randomBytes(12 * 1024 * 1024);
const onLinux = { skip: process.platform !== 'linux' && 'needs Linux' };
const asRoot = { skip: process.getuid?.() !== 0 && 'only root can mount' };

/** Runs the command line, `"$@"`, in a shell script. */
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

/** The last two lines are the problem and the fix. */
function assertProblemAndFix(stderr: string, problem: RegExp): void {
  const lines = stderr.trimEnd().split('\n');
  assert.match(lines.at(-2) ?? '', problem);
  assert.match(lines.at(-1) ?? '', new RegExp(`→ .*backhaul content ${UPLOAD_ID} --output PATH`));
  assert.doesNotMatch(stderr, /unexpected error|\n\s+at /i);
}

describe('an output that cannot be written', { concurrency: 4 }, () => {
  test('is refused before the trigger if its directory may not be written', onLinux, async () => {
    await using directory = await temporaryDirectory();
    await using upload = await startUpload(content);
    // Not even root can create a file there.
    const link = path.join(directory.path, 'link');
    await symlink('/sys/kernel/mm', link);
    for (const output of [
      '/sys/kernel/mm/report.bin',
      `${link}/`,
      '/sys/kernel/mm',
      '/dev/null/report.bin',
    ]) {
      const { code, stderr } = await runCli([...DOWNLOAD, '--output', output], { env: upload.server.env });
      assert.equal(code, 2, output);
      assert.match(stderr, /cannot be written: .*\(E[A-Z]+\)|There is no directory/, output);
    }
    assert.deepEqual(upload.server.requests, []);
  });

  test(
    'is refused before the trigger if the file is writable, but its directory is not',
    asRoot,
    async () => {
      await using directory = await temporaryDirectory();
      await using upload = await startUpload(content);
      const mounted = path.join(directory.path, 'mounted');
      await mkdir(mounted);
      await writeFile(path.join(mounted, 'report.bin'), 'old');
      const script = `unshare -m bash -c 'mount --bind "${mounted}" "${mounted}" && mount -o remount,ro,bind "${mounted}" && exec "$@"' bash "$@"`;
      const args = [...DOWNLOAD, '--overwrite', '--output', path.join(mounted, 'report.bin')];
      const { code, stderr } = await runInShell(script, args, upload.server.env);
      assert.equal(code, 2, stderr);
      assert.match(stderr, /read-only file system \(EROFS\)/);
      assert.deepEqual(upload.server.requests, []);
    },
  );

  test('is refused before the trigger on a disk without room for a block', asRoot, async () => {
    await using directory = await temporaryDirectory();
    await using upload = await startUpload(content);
    const script = `unshare -m bash -c 'mount -t tmpfs -o size=64k none "${directory.path}" && head -c 65536 /dev/zero > "${directory.path}/full" && exec "$@"' bash "$@"`;
    const args = [...DOWNLOAD, '--output', path.join(directory.path, 'report.bin')];
    const { code, stderr } = await runInShell(script, args, upload.server.env);
    assert.equal(code, 2, stderr);
    assert.match(stderr, /no space left on device \(ENOSPC\)/);
    assert.deepEqual(upload.server.requests, []);
  });

  test('that fills up is reported with the command to continue, and no file remains', asRoot, async () => {
    await using directory = await temporaryDirectory();
    await using upload = await startUpload(content);
    const script = `unshare -m bash -c 'mount -t tmpfs -o size=4m none "${directory.path}"; "$@"; code=$?; ls -A "${directory.path}"; exit $code' bash "$@"`;
    const args = [...DOWNLOAD, '--output', path.join(directory.path, 'report.bin')];
    const { code, stdout, stderr } = await runInShell(script, args, upload.server.env);
    assert.equal(code, 1, stderr);
    assertProblemAndFix(stderr, /report\.bin cannot be written: no space left on device \(ENOSPC\)\.$/);
    assert.doesNotMatch(stdout, /\.part|report\.bin$/m);
  });

  test(
    'that is full is reported for a device, for standard output and for other commands',
    onLinux,
    async () => {
      await using upload = await startUpload(content);
      const device = await runCli([...DOWNLOAD, '--output', '/dev/full'], { env: upload.server.env });
      const stdout = await runInShell('"$@" > /dev/full', [...DOWNLOAD, '--output', '-'], upload.server.env);
      for (const { code, stderr } of [device, stdout]) {
        assert.equal(code, 1, stderr);
        assertProblemAndFix(stderr, /cannot be written: no space left on device \(ENOSPC\)\.$/);
      }
      const watching = await runInShell('"$@" > /dev/full', DOWNLOAD, upload.server.env);
      assert.equal(watching.code, 1);
      assertProblemAndFix(watching.stderr, /standard output cannot be written/);
      const help = await runInShell('"$@" > /dev/full', ['--help'], {});
      assert.equal(help.code, 1);
      assert.match(help.stderr, /^backhaul: standard output cannot be written: [^\n]+\n$/);
    },
  );

  test('is reported with the upload_id under --json', onLinux, async () => {
    await using upload = await startUpload(content);
    const args = ['content', UPLOAD_ID, '--output', '/dev/full', '--json'];
    const { code, stderr } = await runCli(args, { env: upload.server.env });
    assert.equal(code, 1);
    const { error } = JSON.parse(stderr) as { error: Record<string, unknown> };
    assert.equal(error['code'], 'output');
    assert.equal(error['upload_id'], UPLOAD_ID);
  });

  test('whose reader closes early ends with exit code 141', async () => {
    await using upload = await startUpload(content);
    for (const args of [
      [...DOWNLOAD, '--output', '-'],
      ['content', UPLOAD_ID, '--output', '-'],
    ]) {
      const child = startCli(args, { env: upload.server.env });
      await once(child.stdout, 'data');
      child.stdout.destroy();
      let stderr = '';
      child.stderr.on('data', (chunk) => (stderr += String(chunk)));
      const [code] = (await once(child, 'close')) as [number];
      assert.equal(code, 141, stderr);
      assertProblemAndFix(stderr, /The reader of standard output closed before the end of the file\.$/);
    }
  });

  test('is checked without leaving a file behind', async () => {
    await using directory = await temporaryDirectory();
    await using upload = await startUpload(content);
    const output = path.join(directory.path, 'report.bin');
    const { code } = await runCli([...DOWNLOAD, '--output', output], { env: upload.server.env });
    assert.equal(code, 0);
    assert.deepEqual(await readdir(directory.path), ['report.bin']);
  });
});
