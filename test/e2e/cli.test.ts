import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { after, before, describe, test } from 'node:test';
import { type UploadRecord, uploadListSchema, uploadRecordSchema } from '@backhaul/protocol';
import { Program } from '../harness/program.ts';
import { randomFile } from '../harness/random-file.ts';
import { Stage } from '../harness/stage.ts';

const MiB = 1024 * 1024;

describe('the command line', { concurrency: 2 }, () => {
  let stage: Stage;
  let report: string;
  let sha256: string;
  let small: string;
  before(async () => {
    // This level logs a request before its response.
    stage = await Stage.start({ env: { LOG_LEVEL: 'debug' } });
    await mkdir(stage.directory.join('data'));
    report = stage.directory.join('data', 'report.bin');
    small = stage.directory.join('data', 'small.txt');
    sha256 = await randomFile(report, 12 * MiB);
    await writeFile(small, 'first line\nsecond line\n');
    const allow = ['--allow', stage.directory.join('data')];
    await stage.startAgent('till', ['--file', report, ...allow]);
    await stage.startAgent('slow', ['--file', report, '--max-rate', String(8 * MiB)]);
    await stage.startAgent('crawling', ['--file', report, '--max-rate', String(MiB / 4)]);
    await (await stage.startAgent('away', ['--file', report])).stop();
  });
  after(() => stage[Symbol.asyncDispose]());

  test('download pulls and saves a file, checked', async () => {
    const copy = stage.directory.join('copy.bin');
    const { code, stdout, stderr } = await stage.cli('download', '--client-id', 'till', '--output', copy);
    assert.equal(code, 0, stderr);
    assert.match(stdout, /completed: report\.bin/);
    assert.match(stdout, /saved to .*copy\.bin \(verified by /);
    assert.equal(
      createHash('sha256')
        .update(await readFile(copy))
        .digest('hex'),
      sha256,
    );
  });

  test('download into a directory keeps the file’s name', async () => {
    const directory = stage.directory.join('into');
    await mkdir(directory);
    const { code, stderr } = await stage.cli(
      ...['download', '--client-id', 'till', '--file', small, '--output', directory],
    );
    assert.equal(code, 0, stderr);
    assert.equal(await readFile(`${directory}/small.txt`, 'utf8'), 'first line\nsecond line\n');
  });

  test('download to standard output prints the file and nothing else there', async () => {
    const { code, stdout } = await stage.cli(
      ...['download', '--client-id', 'till', '--file', small, '--output', '-'],
    );
    assert.equal(code, 0);
    assert.equal(stdout, 'first line\nsecond line\n');
  });

  test('download --json prints records only, the last of them completed', async () => {
    const { code, stdout, stderr } = await stage.cli('download', '--client-id', 'till', '--json');
    assert.equal(code, 0, stderr);
    const records = recordsIn(stdout);
    assert.equal(records.at(-1)?.status, 'completed');
    assert.equal(records.at(-1)?.sha256, sha256);
    assert.equal(records.at(-1)?.part_count, 3);
  });

  test('download --no-wait returns at once; uploads --follow shows the end', async () => {
    const { code, stdout } = await stage.cli('--json', 'download', '--client-id', 'slow', '--no-wait');
    assert.equal(code, 0);
    const [accepted] = recordsIn(stdout);
    assert.equal(accepted?.status, 'queued');
    const followed = await stage.cli('uploads', accepted.upload_id, '--follow');
    assert.equal(followed.code, 0, followed.stderr);
    assert.match(followed.stdout, /completed: report\.bin/);
    assert.ok(
      recordsIn((await stage.cli('--json', 'uploads', accepted.upload_id)).stdout)[0]?.sha256 === sha256,
    );
  });

  test('cancel ends a pull, whose watcher exits with 7; retry starts it again', async () => {
    await using watcher = stage.startCli(['download', '--client-id', 'crawling', '--json']);
    const running = await watcher.line((line) => {
      const record = line.startsWith('{') ? uploadRecordSchema.parse(JSON.parse(line)) : undefined;
      return record?.status === 'uploading' ? record : undefined;
    });
    const cancelled = await stage.cli('cancel', running.upload_id);
    assert.equal(cancelled.code, 0, cancelled.stderr);
    assert.match(cancelled.stdout, /is cancelled\./);
    assert.equal((await watcher.exit).code, 7);
    assert.equal((await stage.cli('cancel', running.upload_id)).code, 2);
    const retried = await stage.cli('retry', running.upload_id);
    assert.equal(retried.code, 0, retried.stderr);
    assert.match(retried.stdout, /attempt 2/);
    await stage.recordWhen(
      running.upload_id,
      ({ status, attempt }) => status === 'uploading' && attempt === 2,
    );
    assert.equal((await stage.cli('retry', running.upload_id)).code, 2);
    await stage.client.cancelUpload(running.upload_id);
  });

  test('status, clients and uploads show machines and pulls, to people and to programs', async () => {
    await stage.pull('till', { file_path: small });
    const [status, clients, away, uploads, json] = await Promise.all([
      stage.cli('status', 'till'),
      stage.cli('clients'),
      stage.cli('clients', '--away', '--json'),
      stage.cli('uploads', '--client-id', 'till', '--status', 'completed', '--all'),
      stage.cli('uploads', '--all', '--json'),
    ]);
    for (const { code, stderr } of [status, clients, away, uploads, json]) assert.equal(code, 0, stderr);
    assert.match(status.stdout, /till[\s\S]*connected since/);
    assert.match(clients.stdout, /^away +away/m);
    assert.match(clients.stdout, /^till +connected/m);
    assert.deepEqual(
      (JSON.parse(away.stdout) as { clients: { client_id: string }[] }).clients.map((one) => one.client_id),
      ['away'],
    );
    assert.match(uploads.stdout, /small\.txt/);
    const list = uploadListSchema.parse(JSON.parse(json.stdout));
    assert.ok(list.uploads.length > 0);
    assert.equal(list.next_cursor, null);
  });

  test('events --follow shows what happens from now on, until it is stopped', async () => {
    await using follower = stage.startCli(['events', '--follow', '--client-id', 'till', '--json']);
    // The command is connected once the server has its request.
    await stage.server.line((line) => (line.includes('"path":"/events"') ? true : undefined));
    const { upload_id: id } = await stage.pull('till', { file_path: small });
    const last = await follower.line((line) => {
      const record = line.startsWith('{') ? uploadRecordSchema.parse(JSON.parse(line)) : undefined;
      return record?.upload_id === id && record.status === 'completed' ? record : undefined;
    });
    assert.equal(last.file_path, small);
    follower.kill('SIGINT');
    assert.equal((await follower.exit).code, 130);
    const recent = await stage.cli('events', '--limit', '50');
    assert.equal(recent.code, 0);
    assert.match(recent.stdout, new RegExp(id));
  });

  test('health and ls ask the agent', async () => {
    const health = await stage.cli('health', 'till');
    assert.equal(health.code, 0, health.stderr);
    assert.match(health.stdout, /may read +.*data/);
    const ls = await stage.cli('ls', 'till', stage.directory.join('data'));
    assert.equal(ls.code, 0, ls.stderr);
    assert.match(ls.stdout, /file +23 B .* small\.txt/);
    const roots = await stage.cli('ls', 'till');
    assert.ok(roots.stdout.includes(stage.directory.join('data')), roots.stdout + roots.stderr);
    const some = await stage.cli('ls', 'till', stage.directory.join('data'), '--prefix', 'sma', '--json');
    const { entries } = JSON.parse(some.stdout) as { entries: { name: string }[] };
    assert.deepEqual(
      entries.map(({ name }) => name),
      ['small.txt'],
    );
  });

  test('doctor finds nothing wrong with the stage, and names what it looked at', async () => {
    const { code, stdout, stderr } = await stage.cli('doctor', '--json');
    assert.equal(code, 0, stdout + stderr);
    const { findings } = JSON.parse(stdout) as { findings: { name: string; level: string; from: string }[] };
    assert.ok(findings.some(({ from }) => from === 'server'));
    assert.deepEqual(
      findings.filter(({ level }) => level === 'error'),
      [],
    );
  });

  test('makes tokens that the server takes, with the scopes asked for', async () => {
    const secret = { JWT_SECRET: stage.tokens.secret };
    const [forAgent, forOperator] = await Promise.all(
      [
        ['token', 'agent', '--client-id', 'minted'],
        ['token', 'operator', '--scope', 'read', '--subject', 'auditor'],
      ].map(async (args) => {
        await using program = stage.startCli(args, secret);
        const { code, stdout, stderr } = await program.exit;
        assert.equal(code, 0, stderr);
        assert.match(stdout, /^[\w-]+\.[\w-]+\.[\w-]+\n$/, 'the token alone');
        return stdout.trim();
      }),
    );
    const agent = stage.spawnAgent({
      args: ['--client-id', 'minted', '--server-url', stage.webSocketUrl, '--log-format', 'json'],
      env: { BACKHAUL_TOKEN: forAgent ?? '' },
    });
    await agent.line((line) => (line.includes('"msg":"connected"') ? true : undefined));
    const env = { BACKHAUL_TOKEN: forOperator ?? '' };
    await using reading = stage.startCli(['status', 'minted'], env);
    assert.equal((await reading.exit).code, 0);
    await using writing = stage.startCli(['download', '--client-id', 'minted', '--file', '/x'], env);
    const refused = await writing.exit;
    assert.equal(refused.code, 3);
    assert.match(refused.stderr, /"trigger"/);
  });

  test('exits with the code for what went wrong, and says it on standard error', async () => {
    const cases: [code: number, args: string[], said: RegExp][] = [
      [2, ['download'], /--client-id/],
      [2, ['download', '--client-id', 'till', '--jsn'], /--jsn/],
      [2, ['uploads', '--limit', '0'], /limit/],
      [3, ['clients', '--token', 'nonsense'], /BACKHAUL_TOKEN/],
      [4, ['download', '--client-id', 'nobody'], /nobody/],
      [4, ['status', 'nobody'], /nobody/],
      [4, ['uploads', '019ab3c2-5f00-7000-8000-000000000001'], /backhaul uploads/],
      [4, ['download', '--client-id', 'till', '--file', `${report}.missing`], /no such file/],
      [5, ['health', 'away'], /not connected/],
      [5, ['clients', '--url', 'http://127.0.0.1:1'], /cannot be reached/],
      [5, ['download', '--client-id', 'away', '--timeout', '1s'], /continues/],
      [6, ['download', '--client-id', 'till', '--file', '/etc/passwd'], /--allow/],
      [6, ['ls', 'till', '/etc'], /--allow/],
      [6, ['ls', 'till', '/'], /The agent may read: .*data/],
      [6, ['download', '--client-id', 'till', '--file', stage.directory.join('data')], /regular file/],
    ];
    for (const [code, args, said] of cases) {
      const exit = await stage.cli(...args);
      assert.equal(exit.code, code, `${args.join(' ')}: ${exit.stdout}${exit.stderr}`);
      assert.match(exit.stderr, said);
      assert.doesNotMatch(exit.stderr, /^ +at /m);
    }
  });

  test('without any setting says which ones it needs', async () => {
    await using program = new Program('backhaul', { args: ['clients'], cwd: stage.directory.path });
    const { code, stderr } = await program.exit;
    assert.equal(code, 2);
    assert.match(stderr, /BACKHAUL_URL/);
  });
});

function recordsIn(stdout: string): UploadRecord[] {
  return stdout
    .trimEnd()
    .split('\n')
    .map((line) => uploadRecordSchema.parse(JSON.parse(line)));
}
