import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, test } from 'node:test';
import type { ErrorCode } from '@backhaul/protocol';
import { DEV_FILE } from '@backhaul/protocol/dev-file';
import { jwtVerify } from 'jose';
import manifest from '../package.json' with { type: 'json' };
import { commands } from './commands/index.ts';
import {
  FakeBackhaul,
  type Route,
  sendEvents,
  sendJson,
  sendProblem,
  TOKEN,
} from '../../../test/doubles/fake-backhaul.ts';
import { finishCli, runCli, startCli } from '../../../test/harness/cli/run-cli.ts';
import { temporaryDirectory } from '../../../test/harness/temporary-directory.ts';
import { UPLOAD_ID, uploadRecord } from '../../../test/harness/upload-record.ts';

const SECRET = 'a secret that is long enough for HS256';
const parallel = { concurrency: 4 };

const client = {
  client_id: 'restaurant-1',
  connected: true,
  connected_since: '2025-11-01T10:00:00.000Z',
  last_seen_at: '2025-11-01T10:30:00.000Z',
  agent_version: '0.1.0',
  platform: { os: 'linux', arch: 'x64', hostname: 'till' },
  labels: { site: 'berlin' },
  default_file_path: '/data/report.bin',
};
const status = { ...client, active_uploads: [uploadRecord()], last_upload: null };

describe('the program', parallel, () => {
  test('prints its version', async () => {
    const { code, stdout } = await runCli(['--version']);
    assert.equal(code, 0);
    assert.equal(stdout, `${manifest.version}\n`);
  });

  test('lists its commands, settings and exit codes in its help', async () => {
    const { code, stdout } = await runCli(['--help']);
    assert.equal(code, 0);
    for (const { name } of commands) assert.match(stdout, new RegExp(`^    ${name}$`, 'm'));
    for (const word of ['BACKHAUL_URL', 'BACKHAUL_TOKEN', 'JWT_SECRET', 'EXIT STATUS']) {
      assert.ok(stdout.includes(word), word);
    }
  });

  test('without a command prints its help and exits with 2', async () => {
    const { code, stdout, stderr } = await runCli([]);
    assert.equal(code, 2);
    assert.equal(stdout, '');
    assert.match(stderr, /^SYNOPSIS\n    backhaul /m);
  });

  test('names the invalid flag and exits with 2', async () => {
    const { code, stdout, stderr } = await runCli(['uploads', '--limit', '900']);
    assert.equal(code, 2);
    assert.equal(stdout, '');
    assert.match(stderr, /--limit.*1 to 500.*\n.*--help/);
  });

  test('reports a usage error as JSON with --json', async () => {
    const { code, stderr } = await runCli(['uploads', '--jsn', '--json']);
    assert.equal(code, 2);
    const { error } = JSON.parse(stderr) as { error: Record<string, unknown> };
    assert.deepEqual(Object.keys(error), ['code', 'exit_code', 'message', 'detail', 'fix', 'upload_id']);
    assert.equal(error['code'], 'usage');
    assert.match(String(error['message']), /--jsn.*did you mean --json/);
  });
});

describe('the exit code of a refused request', parallel, () => {
  const refusals: readonly (readonly [ErrorCode, number])[] = [
    ['internal_error', 1],
    ['upload_finished', 2],
    ['forbidden', 3],
    ['upload_not_found', 4],
    ['database_unavailable', 5],
    ['storage_not_allowed', 6],
    ['upload_gone', 7],
  ];
  for (const [code, exitCode] of refusals) {
    test(`with ${code} is ${exitCode}`, async () => {
      await using server = await FakeBackhaul.start({
        [`POST /uploads/${UPLOAD_ID}/cancel`]: (response) =>
          sendProblem(response, code, 'What happened here.'),
      });
      const ended = await runCli(['cancel', UPLOAD_ID], { env: server.env });
      assert.equal(ended.code, exitCode);
      assert.equal(ended.stdout, '');
      assert.match(ended.stderr, /^backhaul: .+\n {2}What happened here\.\n/);
    });
  }

  test('for a token that the server rejects is 3, and the token is not shown', async () => {
    await using server = await FakeBackhaul.start({});
    const env = { BACKHAUL_URL: server.url, BACKHAUL_TOKEN: 'wrong-token' };
    const { code, stderr } = await runCli(['uploads'], { env });
    assert.equal(code, 3);
    assert.match(stderr, /BACKHAUL_TOKEN/);
    assert.ok(!stderr.includes('wrong-token'));
  });

  test('without a token is 3 and names the setting', async () => {
    const { code, stderr } = await runCli(['uploads'], { env: { BACKHAUL_URL: 'http://127.0.0.1:9' } });
    assert.equal(code, 3);
    assert.match(stderr, /set BACKHAUL_TOKEN or --token/);
  });

  test('for an unreachable server is 5', async () => {
    const { url } = await (async () => {
      await using server = await FakeBackhaul.start({});
      return server;
    })();
    const { code, stderr } = await runCli(['uploads', '--url', url, '--token', TOKEN]);
    assert.equal(code, 5);
    assert.match(stderr, /ECONNREFUSED/);
  });

  test('for a server that is not a Backhaul server is 1', async () => {
    await using server = await FakeBackhaul.start({
      'GET /uploads': (response) => response.end('<h1>Welcome</h1>'),
    });
    const { code, stderr } = await runCli(['uploads'], { env: server.env });
    assert.equal(code, 1);
    assert.match(stderr, /is not JSON/);
  });
});

describe('settings', parallel, () => {
  test('default to .backhaul/dev.json', async () => {
    await using directory = await temporaryDirectory();
    await using server = await FakeBackhaul.start({
      'GET /clients': (response) => sendJson(response, { clients: [client], next_cursor: null }),
    });
    await mkdir(path.join(directory.path, '.backhaul'));
    const dev = { server_url: server.url, operator_token: TOKEN, jwt_secret: SECRET, pid: 1 };
    await writeFile(path.join(directory.path, DEV_FILE), JSON.stringify(dev), { mode: 0o600 });
    const { code, stdout } = await runCli(['clients'], { cwd: directory.path });
    assert.equal(code, 0);
    assert.match(stdout, /restaurant-1 +connected/);
    const { stdout: token } = await runCli(['token', 'operator'], { cwd: directory.path });
    await jwtVerify(token.trim(), new TextEncoder().encode(SECRET));
    // Another server than the one that wrote the file must not see its token.
    const other = await runCli(['clients', '--url', 'https://backhaul.example'], { cwd: directory.path });
    assert.equal(other.code, 3);
  });

  test('accept the ws:// address of agents', async () => {
    await using server = await FakeBackhaul.start({
      'GET /clients': (response) => sendJson(response, { clients: [], next_cursor: null }),
    });
    const env = { BACKHAUL_URL: server.url.replace('http:', 'ws:'), BACKHAUL_TOKEN: TOKEN };
    assert.equal((await runCli(['clients'], { env })).code, 0);
  });

  test('that are missing are named in the error', async () => {
    await using directory = await temporaryDirectory();
    const { code, stderr } = await runCli(['uploads'], { cwd: directory.path });
    assert.equal(code, 2);
    assert.match(stderr, /BACKHAUL_URL/);
    const token = await runCli(['token', 'operator'], { cwd: directory.path });
    assert.equal(token.code, 2);
    assert.match(token.stderr, /JWT_SECRET/);
  });
});

describe('with --json', parallel, () => {
  const responses: readonly (readonly [
    args: string[],
    route: string,
    expected: unknown,
    printed?: unknown,
  ])[] = [
    [['uploads', '--status', 'failed'], 'GET /uploads', { uploads: [uploadRecord()], next_cursor: 'c' }],
    [['uploads', UPLOAD_ID], `GET /uploads/${UPLOAD_ID}`, uploadRecord()],
    [['clients'], 'GET /clients', { clients: [client], next_cursor: null }],
    [['status', 'restaurant-1'], 'GET /status/restaurant-1', status],
    [['cancel', UPLOAD_ID], `POST /uploads/${UPLOAD_ID}/cancel`, uploadRecord({ status: 'cancelled' })],
    [
      ['retry', UPLOAD_ID],
      `POST /uploads/${UPLOAD_ID}/retry`,
      uploadRecord({ status: 'queued', attempt: 2 }),
    ],
    [
      ['ls', 'restaurant-1', '/data'],
      'POST /clients/restaurant-1/commands/list_directory',
      {
        command_id: UPLOAD_ID,
        duration_ms: 3,
        result: {
          path: '/data',
          entries: [{ name: 'a', type: 'file', size: 5, modified_at: null }],
          truncated: false,
        },
      },
      {
        path: '/data',
        entries: [{ name: 'a', type: 'file', size: 5, modified_at: null }],
        truncated: false,
      },
    ],
  ];
  for (const [args, route, expected, printed = expected] of responses) {
    test(`${args[0]} prints the response unchanged`, async () => {
      await using server = await FakeBackhaul.start({ [route]: (response) => sendJson(response, expected) });
      const { code, stdout, stderr } = await runCli([...args, '--json'], { env: server.env });
      assert.equal(stderr, '');
      assert.equal(code, 0);
      assert.deepEqual(JSON.parse(stdout), printed);
    });
  }
});

describe('lists', parallel, () => {
  test('print a table with readable sizes and without control characters', async () => {
    const evil = uploadRecord({ file_path: '/data/\u001b[2Jx\n' });
    await using server = await FakeBackhaul.start({
      'GET /uploads': (response) => sendJson(response, { uploads: [evil], next_cursor: 'more' }),
    });
    const { stdout, stderr } = await runCli(['uploads'], { env: server.env });
    const [titles, row, ...rest] = stdout.trimEnd().split('\n');
    assert.match(titles ?? '', /^UPLOAD +CLIENT +STATUS +DONE +SIZE +CREATED +FILE$/);
    assert.match(
      row ?? '',
      /restaurant-1 +uploading +40% +104\.9 MB +\d+ d ago +\/data\/\\u001b\[2Jx\\u000a$/,
    );
    assert.deepEqual(rest, []);
    assert.match(stderr, /--all/);
  });

  test('fetch every page with --all', async () => {
    const pages: Route = (response, { path }) => {
      const last = path.includes('cursor=two');
      sendJson(response, {
        uploads: [uploadRecord({ version: last ? 2 : 1 })],
        next_cursor: last ? null : 'two',
      });
    };
    await using server = await FakeBackhaul.start({ 'GET /uploads': pages });
    const { stdout } = await runCli(['uploads', '--all', '--json'], { env: server.env });
    const { uploads } = JSON.parse(stdout) as { uploads: { version: number }[] };
    assert.deepEqual(
      uploads.map(({ version }) => version),
      [1, 2],
    );
  });
});

describe('events', parallel, () => {
  const [first, second] = [UPLOAD_ID, UPLOAD_ID.replace(/1$/, '2')];
  // Newest first, as the server lists them. The first upload ends after the second has stalled.
  const uploads = [
    uploadRecord({
      upload_id: second,
      client_id: 'lab-7',
      created_at: '2025-11-01T10:29:59.000Z',
      started_at: '2025-11-01T10:30:01.000Z',
      stalled_since: '2025-11-01T10:30:02.000Z',
      stalled_reason: 'The agent is not connected.',
    }),
    uploadRecord({
      upload_id: first,
      status: 'failed',
      error: 'file_changed',
      created_at: '2025-11-01T10:29:58.000Z',
      started_at: '2025-11-01T10:30:00.000Z',
      completed_at: '2025-11-01T10:30:03.000Z',
    }),
  ];
  const startServer = () =>
    FakeBackhaul.start({
      'GET /uploads': (response) => sendJson(response, { uploads, next_cursor: null }),
    });

  test('prints what the records say has happened, oldest first, and stops', async () => {
    await using server = await startServer();
    const { code, stdout } = await runCli(['events'], { env: server.env });
    assert.equal(code, 0);
    assert.deepEqual(stdout.trimEnd().split('\n'), [
      `2025-11-01T10:29:58.000Z  ${first}  restaurant-1  queued      /data/report.bin`,
      `2025-11-01T10:29:59.000Z  ${second}  lab-7  queued      /data/report.bin`,
      `2025-11-01T10:30:00.000Z  ${first}  restaurant-1  started     /data/report.bin`,
      `2025-11-01T10:30:01.000Z  ${second}  lab-7  started     /data/report.bin`,
      `2025-11-01T10:30:02.000Z  ${second}  lab-7  stalled     /data/report.bin  (The agent is not connected.)`,
      `2025-11-01T10:30:03.000Z  ${first}  restaurant-1  failed      /data/report.bin  (file_changed)`,
    ]);
    assert.equal(server.requests[0]?.path, '/uploads?limit=500');
  });

  test('prints the last events of one machine, with --json as records with the event', async () => {
    await using server = await startServer();
    const args = ['events', 'restaurant-1', '--limit', '2', '--json'];
    const { code, stdout } = await runCli(args, { env: server.env });
    assert.equal(code, 0);
    assert.deepEqual(
      stdout
        .trimEnd()
        .split('\n')
        .map((line): unknown => JSON.parse(line)),
      [
        { at: '2025-11-01T10:30:02.000Z', event: 'stalled', ...uploads[0] },
        { at: '2025-11-01T10:30:03.000Z', event: 'failed', ...uploads[1] },
      ],
    );
    assert.equal(server.requests[0]?.path, '/uploads?client_id=restaurant-1&limit=500');
  });

  test('--follow prints changes until Ctrl-C', async () => {
    await using server = await FakeBackhaul.start({
      'GET /events': (response) => sendEvents(response, [uploadRecord()]),
    });
    const child = startCli(['events', '--follow', '--json'], { env: server.env });
    const [line] = (await once(child.stdout, 'data')) as [Buffer];
    assert.deepEqual(JSON.parse(line.toString()), uploadRecord());
    child.kill('SIGINT');
    assert.equal((await finishCli(child)).code, 130);
  });

  test('--follow exits without an error when its reader closes', async () => {
    await using server = await FakeBackhaul.start({
      'GET /events': (response) => {
        sendEvents(response, [uploadRecord()]);
        const timer = setInterval(() => {
          response.write(`id: 1\nevent: upload\ndata: ${JSON.stringify(uploadRecord())}\n\n`);
        }, 20);
        response.on('close', () => clearInterval(timer));
      },
    });
    const child = startCli(['events', '--follow', '--json'], { env: server.env });
    await once(child.stdout, 'data');
    child.stdout.destroy();
    const [[code], stderr] = await Promise.all([once(child, 'close'), child.stderr.toArray()]);
    assert.equal(code, 0);
    assert.deepEqual(stderr, []);
  });
});

describe('delete and forget', parallel, () => {
  test('print what they removed', async () => {
    await using server = await FakeBackhaul.start({
      [`DELETE /uploads/${UPLOAD_ID}`]: (response) => response.writeHead(204).end(),
      'DELETE /clients/restaurant-1': (response) => response.writeHead(204).end(),
    });
    const deleted = await runCli(['delete', UPLOAD_ID, '--object'], { env: server.env });
    assert.equal(deleted.stdout, `Deleted ${UPLOAD_ID} and its object.\n`);
    assert.equal(server.requests[0]?.path, `/uploads/${UPLOAD_ID}?object=true`);
    const forgotten = await runCli(['forget', 'restaurant-1'], { env: server.env });
    assert.equal(forgotten.stdout, 'Removed restaurant-1.\n');
  });
});
