import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { chmod, lstat, mkdir, readdir, readFile, rmdir, stat, symlink, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, test } from 'node:test';
import type { ErrorCode } from '@backhaul/protocol';
import { FakeBackhaul, sendEvents, sendJson, sendProblem } from '../../../../test/doubles/fake-backhaul.ts';
import { finishCli, runCli, startCli } from '../../../../test/harness/cli/run-cli.ts';
import { temporaryDirectory } from '../../../../test/harness/temporary-directory.ts';
import {
  failedRecord,
  uploadRoutes,
  startUpload,
  recordVersions,
} from '../../../../test/harness/cli/upload-fixture.ts';
import { UPLOAD_ID, uploadRecord } from '../../../../test/harness/upload-record.ts';

const DOWNLOAD = ['download', '--client-id', 'restaurant-1'];
const content = randomBytes(20 * 1024 * 1024 + 12_345);
const small = Buffer.from('a small file\n');

describe('download', { concurrency: 4 }, () => {
  test('prints a line for each phase and ends with the result', async () => {
    await using server = await FakeBackhaul.start(uploadRoutes(recordVersions(content)));
    const { code, stdout, stderr } = await runCli(
      [...DOWNLOAD, '--file', '/data/report.bin', '--reason', 'audit', '--idempotency-key', 'k1'],
      { env: server.env },
    );
    assert.equal(stderr, '');
    assert.equal(code, 0);
    const lines = stdout.trimEnd().split('\n');
    assert.match(lines[0] ?? '', /^queued: waiting for the agent$/);
    assert.match(lines[1] ?? '', /^preparing: /);
    assert.match(lines[2] ?? '', /^uploading: 40%  8\/20 parts  8\.4 MB of 21\.0 MB/);
    assert.match(lines[3] ?? '', /^completing: /);
    assert.ok(lines.some((line) => line.includes(`${UPLOAD_ID} completed: report.bin  21.0 MB  in 3.5 s`)));
    assert.ok(!stdout.includes('\u001b'), 'no escape sequences without a terminal');
    const [trigger] = server.requests;
    assert.deepEqual(JSON.parse(trigger?.body ?? ''), { file_path: '/data/report.bin', reason: 'audit' });
    assert.equal(trigger?.headers['idempotency-key'], 'k1');
  });

  test('sends --expires-in, --offline, --on-change and --force to the server', async () => {
    await using server = await FakeBackhaul.start(uploadRoutes(recordVersions(content)));
    const { code, stderr } = await runCli(
      [
        ...[...DOWNLOAD, '--no-wait', '--expires-in', '15m', '--offline', 'fail'],
        ...['--on-change', 'prefix', '--force'],
      ],
      { env: server.env },
    );
    assert.equal(code, 0, stderr);
    assert.deepEqual(JSON.parse(server.requests[0]?.body ?? ''), {
      expires_in: 900,
      offline: 'fail',
      on_change: 'prefix',
      force: true,
    });
  });

  const mistakes: readonly (readonly [args: string[], said: RegExp])[] = [
    [['--expires-in', '90'], /--expires-in[^]*90m, 12h or 30d/],
    [['--expires-in', '31d'], /--expires-in[^]*maximum is 30d/],
    [['--offline', 'wait'], /--offline[^]*queue, fail/],
    [['--on-change', 'ignore'], /--on-change[^]*fail, restart, prefix/],
  ];
  for (const [args, said] of mistakes) {
    test(`with ${args.join(' ')} exits with 2 and names the valid values`, async () => {
      const { code, stderr } = await runCli([...DOWNLOAD, ...args]);
      assert.equal(code, 2);
      assert.match(stderr, said);
    });
  }

  test('exits with 5 if the agent is disconnected, with --offline fail', async () => {
    await using server = await FakeBackhaul.start({
      'POST /trigger-download/restaurant-1': (response) =>
        sendProblem(response, 'client_offline', 'Agent restaurant-1 is not connected.'),
    });
    const { code, stderr } = await runCli([...DOWNLOAD, '--offline', 'fail'], { env: server.env });
    assert.equal(code, 5);
    assert.match(stderr, /not connected/);
  });

  test('with --json prints each version of the record as a line, in order', async () => {
    const versions = recordVersions(content);
    await using server = await FakeBackhaul.start(uploadRoutes(versions));
    const { code, stdout } = await runCli([...DOWNLOAD, '--json'], { env: server.env });
    assert.equal(code, 0);
    const records = stdout
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as unknown);
    assert.deepEqual(records, versions);
  });

  test('with --no-wait returns once the server has accepted', async () => {
    await using server = await FakeBackhaul.start(uploadRoutes(recordVersions(content)));
    const { code, stdout } = await runCli([...DOWNLOAD, '--no-wait'], { env: server.env });
    assert.equal(code, 0);
    assert.match(stdout, new RegExp(`^Accepted: ${UPLOAD_ID} is queued`));
    assert.equal(server.requests.length, 1);
  });

  const failures: readonly (readonly [ErrorCode, number])[] = [
    ['file_not_found', 4],
    ['storage_unavailable', 5],
    ['path_not_allowed', 6],
    ['file_changed', 7],
  ];
  for (const [error, exitCode] of failures) {
    test(`exits with ${exitCode} if the upload fails with ${error}`, async () => {
      const failed = failedRecord({ error, message: 'The words of the agent.' });
      await using server = await FakeBackhaul.start(uploadRoutes([uploadRecord(), failed]));
      const { code, stdout, stderr } = await runCli([...DOWNLOAD, '--json'], { env: server.env });
      assert.equal(code, exitCode);
      const last = JSON.parse(stdout.trimEnd().split('\n').at(-1) ?? '') as unknown;
      assert.deepEqual(last, failed, 'the final record is still the last line');
      const reported = JSON.parse(stderr) as { error: Record<string, unknown> };
      assert.equal(reported.error['code'], error);
      assert.equal(reported.error['exit_code'], exitCode);
      assert.equal(reported.error['detail'], 'The words of the agent.');
      assert.equal(reported.error['upload_id'], UPLOAD_ID);
    });
  }

  test('exits with 7 if the upload is cancelled', async () => {
    const versions = [uploadRecord(), failedRecord({ status: 'cancelled', error: 'cancelled' })];
    await using server = await FakeBackhaul.start(uploadRoutes(versions));
    const { code, stderr } = await runCli(DOWNLOAD, { env: server.env });
    assert.equal(code, 7);
    assert.match(stderr, /The upload was cancelled/);
  });

  test('stops after --timeout, exits with 5 and says how to follow the upload', async () => {
    await using server = await FakeBackhaul.start(uploadRoutes([uploadRecord()]));
    const { code, stderr } = await runCli([...DOWNLOAD, '--timeout', '1s'], { env: server.env });
    assert.equal(code, 5);
    assert.match(stderr, /did not end within 1\.0 s/);
    assert.match(stderr, new RegExp(`backhaul uploads ${UPLOAD_ID} --follow`));
  });

  test('on Ctrl-C leaves the upload running, says so and exits with 130', async () => {
    await using server = await FakeBackhaul.start(uploadRoutes([uploadRecord()]));
    const child = startCli(DOWNLOAD, { env: server.env });
    await once(child.stdout, 'data');
    child.kill('SIGINT');
    const { code, stderr } = await finishCli(child);
    assert.equal(code, 130);
    assert.match(
      stderr,
      new RegExp(`continues.*backhaul uploads ${UPLOAD_ID}.*backhaul cancel ${UPLOAD_ID}`, 's'),
    );
    assert.ok(!server.requests.some(({ path }) => path.endsWith('/cancel')));
  });

  test('reconnects when the event stream is cut', async () => {
    const versions = recordVersions(small);
    let streams = 0;
    await using server = await FakeBackhaul.start({
      ...uploadRoutes(versions),
      [`GET /uploads/${UPLOAD_ID}`]: (response) => sendProblem(response, 'shutting_down'),
      [`GET /uploads/${UPLOAD_ID}/events`]: (response, { headers }) => {
        streams += 1;
        if (streams === 1) {
          sendEvents(response, versions.slice(0, 3));
          setTimeout(() => response.destroy(), 20);
        } else {
          assert.equal(headers['last-event-id'], '3');
          sendEvents(response, versions.slice(3));
        }
      },
    });
    const { code, stdout } = await runCli(DOWNLOAD, { env: server.env });
    assert.equal(code, 0);
    assert.match(stdout, /Lost the event stream/);
    assert.equal(streams, 2);
  });
});

describe('download --output', { concurrency: 4 }, () => {
  test('saves the file in parallel ranges and leaves no other file', async () => {
    await using directory = await temporaryDirectory();
    await using upload = await startUpload(content);
    const target = path.join(directory.path, 'saved.bin');
    const { code, stdout, stderr } = await runCli([...DOWNLOAD, '--output', target], {
      env: upload.server.env,
    });
    assert.equal(stderr, '');
    assert.equal(code, 0);
    assert.ok((await readFile(target)).equals(content));
    assert.deepEqual(await readdir(directory.path), ['saved.bin']);
    assert.deepEqual(upload.store.ranges.toSorted(), [
      'bytes=0-8388607',
      `bytes=16777216-${content.length - 1}`,
      'bytes=8388608-16777215',
    ]);
    assert.match(stdout, /saved to .*saved\.bin \(verified by sha256\)/);
    assert.deepEqual(
      new Set(upload.store.authorizations),
      new Set([undefined]),
      'the token is sent only to the server',
    );
  });

  test('- writes the file and nothing else to standard output', async () => {
    await using upload = await startUpload(content);
    const { code, stdoutBytes, stderr } = await runCli([...DOWNLOAD, '--output', '-'], {
      env: upload.server.env,
    });
    assert.equal(code, 0);
    assert.ok(stdoutBytes.equals(content));
    assert.match(stderr, /completed: report\.bin/);
  });

  test('into a directory uses the requested file name, not one from the agent', async () => {
    await using directory = await temporaryDirectory();
    // A server of release 0.1.0 passes on the agent's file name unchanged.
    await using upload = await startUpload(small, { last: { file_name: '../../deploy.sh' } });
    const { code } = await runCli(
      [...DOWNLOAD, '--file', '/data/../x/evil\u001b[31m.txt', '--output', directory.path],
      { env: upload.server.env },
    );
    assert.equal(code, 0);
    assert.deepEqual(await readdir(directory.path), ['evil_[31m.txt']);
    const unnamed = await runCli([...DOWNLOAD, '--output', directory.path], { env: upload.server.env });
    assert.equal(unnamed.code, 0);
    assert.deepEqual((await readdir(directory.path)).toSorted(), ['evil_[31m.txt', 'report.bin']);
  });

  test('resumes after a cut connection', async () => {
    await using directory = await temporaryDirectory();
    await using upload = await startUpload(content, { faults: { cuts: 5, cutAfterBytes: 1_000_000 } });
    const target = path.join(directory.path, 'saved.bin');
    const { code } = await runCli([...DOWNLOAD, '--output', target], { env: upload.server.env });
    assert.equal(code, 0);
    assert.ok((await readFile(target)).equals(content));
    assert.equal(upload.store.cutsMade, 5, 'the fault has fired');
    const starts = upload.store.ranges.map((range) => Number(/=(\d+)-/.exec(range)?.[1]));
    assert.ok(
      starts.some((start) => start % 8_388_608 !== 0),
      'a range was resumed in its middle',
    );
  });

  test('requests a new URL when the presigned one has expired', async () => {
    await using directory = await temporaryDirectory();
    await using upload = await startUpload(content, { faults: { oldestValidUrl: 2 } });
    const target = path.join(directory.path, 'saved.bin');
    const { code } = await runCli([...DOWNLOAD, '--output', target], { env: upload.server.env });
    assert.equal(code, 0);
    assert.ok(upload.store.refusals > 0, 'the fault has fired');
    assert.equal(upload.store.urlsMade, 2, 'one new URL for all ranges');
    assert.ok((await readFile(target)).equals(content));
  });

  test('exits with 7 and keeps the old file if the bytes differ from the record', async () => {
    await using directory = await temporaryDirectory();
    await using upload = await startUpload(content);
    upload.store.content = Buffer.from(content);
    upload.store.content.writeUInt8((content.at(-1) ?? 0) ^ 1, content.length - 1);
    const target = path.join(directory.path, 'saved.bin');
    await writeFile(target, 'old');
    const { code, stderr } = await runCli([...DOWNLOAD, '--output', target, '--overwrite'], {
      env: upload.server.env,
    });
    assert.equal(code, 7);
    assert.match(stderr, /its sha256 is [0-9a-f]{64}, the record says/);
    assert.equal(await readFile(target, 'utf8'), 'old');
    assert.deepEqual(await readdir(directory.path), ['saved.bin']);
  });

  test('verifies by CRC32 if there is no SHA-256', async () => {
    await using directory = await temporaryDirectory();
    const target = path.join(directory.path, 'saved.txt');
    await using upload = await startUpload(small, { last: { sha256: null } });
    const good = await runCli([...DOWNLOAD, '--output', target], { env: upload.server.env });
    assert.equal(good.code, 0);
    assert.match(good.stdout, /verified by crc32/);
    upload.store.content = Buffer.from('a Small file\n');
    const bad = await runCli([...DOWNLOAD, '--output', '-'], { env: upload.server.env });
    assert.equal(bad.code, 7);
    assert.match(bad.stderr, /its crc32 is/);
  });

  test('exits with 7 if the object has another size', async () => {
    await using directory = await temporaryDirectory();
    await using upload = await startUpload(small);
    upload.store.content = Buffer.concat([small, small]);
    const { code } = await runCli([...DOWNLOAD, '--output', directory.path], { env: upload.server.env });
    assert.equal(code, 7);
    assert.deepEqual(await readdir(directory.path), []);
  });

  test('saves an empty file', async () => {
    await using directory = await temporaryDirectory();
    await using upload = await startUpload(Buffer.alloc(0));
    const { code } = await runCli([...DOWNLOAD, '--output', directory.path], { env: upload.server.env });
    assert.equal(code, 0);
    assert.equal((await stat(path.join(directory.path, 'report.bin'))).size, 0);
  });

  test('to standard output exits with 5 if the store fails half way', async () => {
    await using upload = await startUpload(content);
    const child = startCli([...DOWNLOAD, '--output', '-'], { env: upload.server.env });
    child.stdout.once('data', () => {
      upload.store.faults.status = 500;
    });
    const { code, stdoutBytes, stderr } = await finishCli(child);
    assert.equal(code, 5, stderr);
    assert.ok(stdoutBytes.length > 0 && stdoutBytes.length < content.length, `${stdoutBytes.length} bytes`);
    assert.deepEqual(stdoutBytes, content.subarray(0, stdoutBytes.length));
  });

  test('exits with 4 if the object is missing, with 5 if the store is unavailable', async () => {
    await using directory = await temporaryDirectory();
    await using missing = await startUpload(small, { faults: { status: 404 } });
    const { code } = await runCli([...DOWNLOAD, '--output', directory.path], { env: missing.server.env });
    assert.equal(code, 4);
    await using away = await startUpload(small, { faults: { status: 503 } });
    const child = startCli([...DOWNLOAD, '--output', directory.path], { env: away.server.env });
    const ended = await finishCli(child);
    assert.equal(ended.code, 5);
    assert.ok(!ended.stderr.includes('X-Amz-Signature'), 'a presigned URL is a secret');
    assert.deepEqual(await readdir(directory.path), []);
  });

  test('on Ctrl-C keeps the downloaded bytes, and says how to resume', async () => {
    await using directory = await temporaryDirectory();
    await using upload = await startUpload(content, { faults: { hangAfterBytes: 1000 } });
    const child = startCli([...DOWNLOAD, '--output', directory.path], { env: upload.server.env });
    child.stdout.on('data', (chunk: Buffer) => {
      if (chunk.includes('saving')) child.kill('SIGINT');
    });
    const { code, stdout, stderr } = await finishCli(child);
    assert.equal(code, 130);
    assert.match(stdout, /saving/, 'the download had started');
    assert.match(stderr, new RegExp(`Resume it with: backhaul content ${UPLOAD_ID} --output PATH`));
    upload.store.faults.hangAfterBytes = undefined;
    const { code: again, stdout: said } = await runCli(['content', UPLOAD_ID, '--output', directory.path], {
      env: upload.server.env,
    });
    assert.equal(again, 0);
    assert.match(said, /resumed after [\d.]+ k?B/);
    assert.deepEqual(await readdir(directory.path), ['report.bin']);
    assert.ok((await readFile(path.join(directory.path, 'report.bin'))).equals(content));
  });

  test('--overwrite keeps a symbolic link named by the user, and the mode of the file', async () => {
    await using directory = await temporaryDirectory();
    await using upload = await startUpload(small);
    const target = path.join(directory.path, 'real.txt');
    const link = path.join(directory.path, 'link.txt');
    await writeFile(target, 'old');
    await chmod(target, 0o640);
    await symlink(target, link);
    const { code } = await runCli([...DOWNLOAD, '--output', link, '--overwrite'], { env: upload.server.env });
    assert.equal(code, 0);
    assert.ok((await readFile(target)).equals(small));
    assert.equal((await stat(target)).mode & 0o777, 0o640);
    assert.deepEqual((await readdir(directory.path)).toSorted(), ['link.txt', 'real.txt']);
  });

  test('writes to a device in place', async () => {
    await using upload = await startUpload(small);
    const { code } = await runCli([...DOWNLOAD, '--output', '/dev/null'], { env: upload.server.env });
    assert.equal(code, 0);
    assert.ok((await stat('/dev/null')).isCharacterDevice());
  });

  test('to a path that cannot be written is refused before the trigger', async () => {
    await using directory = await temporaryDirectory();
    await using upload = await startUpload(small);
    const target = path.join(directory.path, 'none', 'saved.bin');
    const { code, stderr } = await runCli([...DOWNLOAD, '--output', target], { env: upload.server.env });
    assert.equal(code, 2);
    assert.match(stderr, /There is no directory .*none/);
    assert.equal(upload.server.requests.length, 0);
    await mkdir(path.join(directory.path, 'none'));
  });

  test('- conflicts with --json', async () => {
    await using upload = await startUpload(small);
    const { code, stderr } = await runCli([...DOWNLOAD, '--output', '-', '--json'], {
      env: upload.server.env,
    });
    assert.equal(code, 2);
    assert.match(stderr, /would both write to standard output/);
  });
});

describe('download --output to an existing path', { concurrency: 4 }, () => {
  const inTheWay: Readonly<Record<string, (file: string) => Promise<void>>> = {
    'a file': (file) => writeFile(file, 'old', { mode: 0o755 }),
    'a link to a file': async (file) => {
      await writeFile(`${file}.else`, 'old');
      await symlink(`${file}.else`, file);
    },
    'a dangling link': (file) => symlink(`${file}.nowhere`, file),
  };
  for (const [what, put] of Object.entries(inTheWay)) {
    test(`does not replace ${what}, and starts no upload`, async () => {
      await using directory = await temporaryDirectory();
      await using upload = await startUpload(small);
      const target = path.join(directory.path, 'report.bin');
      await put(target);
      const before = await snapshot(directory.path);
      for (const output of [target, directory.path]) {
        const args = [...DOWNLOAD, '--file', '/data/report.bin', '--output', output];
        const { code, stderr } = await runCli(args, { env: upload.server.env });
        assert.equal(code, 2);
        const isNamedLink = what === 'a dangling link' && output === target;
        const said = isNamedLink
          ? /report\.bin is a link .*\n.*Remove the link/
          : /report\.bin already exists\.\n.*--overwrite/;
        assert.match(stderr, said);
      }
      assert.deepEqual(upload.server.requests, []);
      assert.deepEqual(await snapshot(directory.path), before);
    });

    test(`replaces ${what} with --overwrite, without keeping an executable mode`, async () => {
      await using directory = await temporaryDirectory();
      await using upload = await startUpload(small);
      const target = path.join(directory.path, 'report.bin');
      await put(target);
      const args = [...DOWNLOAD, '--file', '/data/report.bin', '--overwrite', '--output', directory.path];
      const { code, stderr } = await runCli(args, { env: upload.server.env });
      assert.equal(code, 0, stderr);
      assert.ok((await readFile(target)).equals(small));
      const found = await lstat(target);
      assert.ok(found.isFile(), 'a link in a directory is not followed');
      assert.equal(found.mode & 0o111, 0);
      const elsewhere = `${target}.else`;
      if (what === 'a link to a file') assert.equal(await readFile(elsewhere, 'utf8'), 'old');
    });
  }

  test('never replaces or follows a dangling link named by the user', async () => {
    await using directory = await temporaryDirectory();
    await using upload = await startUpload(small);
    const target = path.join(directory.path, 'report.bin');
    await symlink(`${target}.nowhere`, target);
    const before = await snapshot(directory.path);
    const { code, stderr } = await runCli([...DOWNLOAD, '--output', target, '--overwrite'], {
      env: upload.server.env,
    });
    assert.equal(code, 2);
    assert.match(stderr, /is a link to a file that does not exist; it is not replaced/);
    assert.deepEqual(upload.server.requests, []);
    assert.deepEqual(await snapshot(directory.path), before);
  });

  test('never replaces a subdirectory or a pipe in a directory', async () => {
    await using directory = await temporaryDirectory();
    await using upload = await startUpload(small);
    const target = path.join(directory.path, 'report.bin');
    const args = [...DOWNLOAD, '--file', '/data/report.bin', '--overwrite', '--output', directory.path];
    await mkdir(target);
    const isDirectory = await runCli(args, { env: upload.server.env });
    await rmdir(target);
    assert.equal(spawnSync('mkfifo', [target]).status, 0);
    const isPipe = await runCli(args, { env: upload.server.env });
    for (const { code, stderr } of [isDirectory, isPipe]) {
      assert.equal(code, 2);
      assert.match(stderr, /is not a regular file; it is not replaced/);
    }
    assert.deepEqual(upload.server.requests, []);
  });

  test('without --file, --overwrite replaces nothing in a directory, because the agent names the file', async () => {
    await using directory = await temporaryDirectory();
    await using upload = await startUpload(small);
    await writeFile(path.join(directory.path, 'report.bin'), 'old');
    const args = [...DOWNLOAD, '--output', directory.path];
    const refused = await runCli([...args, '--overwrite'], { env: upload.server.env });
    assert.equal(refused.code, 2);
    assert.match(refused.stderr, /--overwrite with the directory .* requires a file name/);
    assert.equal(upload.server.requests.length, 0);
    const late = await runCli(args, { env: upload.server.env });
    assert.equal(late.code, 2);
    assert.match(
      late.stderr,
      /already exists\. The upload continues on the server\.\n.*backhaul content [0-9a-f-]+ --output FILE/,
    );
    assert.equal(await readFile(path.join(directory.path, 'report.bin'), 'utf8'), 'old');
  });

  test('a file that appears during the upload is not replaced', async () => {
    await using directory = await temporaryDirectory();
    const target = path.join(directory.path, 'saved.bin');
    await using upload = await startUpload(small, {
      routes: {
        [`GET /uploads/${UPLOAD_ID}/events`]: (response) => {
          writeFileSync(target, 'of another program');
          sendEvents(response, recordVersions(small));
        },
      },
    });
    const { code, stderr } = await runCli([...DOWNLOAD, '--output', target], { env: upload.server.env });
    assert.equal(code, 2);
    assert.match(stderr, /saved\.bin already exists/);
    assert.equal(await readFile(target, 'utf8'), 'of another program');
    assert.deepEqual(await readdir(directory.path), ['saved.bin']);
  });

  test('--overwrite without --output is refused', async () => {
    await using upload = await startUpload(small);
    const { code, stderr } = await runCli([...DOWNLOAD, '--overwrite'], { env: upload.server.env });
    assert.equal(code, 2);
    assert.match(stderr, /--overwrite requires --output/);
    assert.equal(upload.server.requests.length, 0);
  });
});

describe('content', { concurrency: 4 }, () => {
  test('without --output exits with 2 and shows the complete command', async () => {
    await using upload = await startUpload(small);
    const { code, stderr } = await runCli(['content', UPLOAD_ID], { env: upload.server.env });
    assert.equal(code, 2);
    assert.match(
      stderr,
      new RegExp(`content requires --output.*\n.*backhaul content ${UPLOAD_ID} --output FILE`),
    );
    assert.equal(upload.server.requests.length, 0);
  });

  test('does not replace an existing file', async () => {
    await using directory = await temporaryDirectory();
    await using upload = await startUpload(small);
    const target = path.join(directory.path, 'report.bin');
    await writeFile(target, 'old');
    for (const output of [directory.path, target]) {
      const args = ['content', UPLOAD_ID, '--output', output];
      const { code, stderr } = await runCli(args, { env: upload.server.env });
      assert.equal(code, 2);
      assert.match(stderr, /already exists\.\n.*--overwrite/);
    }
    assert.equal(await readFile(target, 'utf8'), 'old');
    const args = ['content', UPLOAD_ID, '--output', target, '--overwrite'];
    assert.equal((await runCli(args, { env: upload.server.env })).code, 0);
    assert.ok((await readFile(target)).equals(small));
  });

  test('downloads the file of an earlier upload', async () => {
    await using directory = await temporaryDirectory();
    await using upload = await startUpload(small);
    const args = ['content', UPLOAD_ID, '--output', '.'];
    const { code } = await runCli(args, { env: upload.server.env, cwd: directory.path });
    assert.equal(code, 0);
    assert.ok((await readFile(path.join(directory.path, 'report.bin'))).equals(small));
  });

  test('exits with 5 if the upload is still running', async () => {
    await using server = await FakeBackhaul.start({
      [`GET /uploads/${UPLOAD_ID}`]: (response) => sendJson(response, uploadRecord()),
    });
    const { code, stderr } = await runCli(['content', UPLOAD_ID, '--output', '-'], { env: server.env });
    assert.equal(code, 5);
    assert.match(stderr, /no finished object yet/);
  });
});

/** Names, modes, inodes and contents of all files. */
async function snapshot(directory: string): Promise<string[]> {
  const names = (await readdir(directory)).toSorted();
  return await Promise.all(
    names.map(async (name) => {
      const found = await lstat(path.join(directory, name));
      const content = await readFile(path.join(directory, name), 'utf8').catch(() => 'none');
      return `${name} ${found.mode} ${found.ino} ${content}`;
    }),
  );
}
