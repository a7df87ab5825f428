import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { FakeBackhaul, sendJson, sendProblem, type Route } from '../../../../test/doubles/fake-backhaul.ts';
import { runCli } from '../../../../test/harness/cli/run-cli.ts';

const UPLOAD = '019ab3c2-5f00-7000-8000-000000000001';
const accepted = {
  at: '2026-12-01T06:00:00.000Z',
  actor: 'anna',
  action: 'upload.trigger',
  client_id: 'till-7',
  upload_id: UPLOAD,
  detail: { file_path: '/data/report.bin' },
};
const refused = {
  ...accepted,
  id: 7,
  actor: '',
  address: '192.0.2.7',
  action: 'request',
  client_id: null,
  upload_id: null,
  outcome: 'refused',
  status: 401,
  error: 'unauthorized',
  count: 12,
  detail: { error: 'unauthorized', reason: 'token_expired' },
};

async function audit(route: Route, ...args: string[]) {
  await using server = await FakeBackhaul.start({ 'GET /audit': route });
  const result = await runCli(['audit', ...args], { env: server.env });
  const asked = server.requests.map(({ path }) => new URL(path, 'http://x').searchParams);
  return { ...result, asked };
}

describe('backhaul audit', { concurrency: 4 }, () => {
  test('shows operator, address, action and outcome, also from an older server', async () => {
    const events = [refused, accepted, { ...accepted, address: '192.0.2.8', outcome: 'accepted', count: 1 }];
    const { stdout, code } = await audit((response) => sendJson(response, { events, next_cursor: null }));
    assert.equal(code, 0);
    const [titles = '', ...rows] = stdout.split('\n').map((line) => line.split(/ {2,}/));
    assert.deepEqual(titles, ['TIME', 'BY', 'FROM', 'ACTION', 'CLIENT', 'UPLOAD', 'OUTCOME', 'DETAIL']);
    const at = '2026-12-01T06:00:00.000Z';
    const detail = '{"file_path":"/data/report.bin"}';
    assert.deepEqual(rows.slice(0, 3), [
      [
        at,
        '–',
        '192.0.2.7',
        'request',
        '–',
        '–',
        'refused (401 unauthorized) ×12',
        '{"reason":"token_expired"}',
      ],
      [at, 'anna', '–', 'upload.trigger', 'till-7', UPLOAD, 'accepted', detail],
      [at, 'anna', '192.0.2.8', 'upload.trigger', 'till-7', UPLOAD, 'accepted', detail],
    ]);
  });

  test('sends the filters of its flags, and prints the events of all pages with --json', async () => {
    const pages = [
      { events: [refused], next_cursor: 'next' },
      { events: [accepted], next_cursor: null },
    ];
    const flags = [
      '--client-id',
      'till-7',
      '--by',
      'anna',
      '--action',
      'client.block',
      '--outcome',
      'refused',
    ];
    const time = ['--since', '2026-11-01', '--until', '2026-12-01T06:00:00Z'];
    let page = 0;
    const { stdout, asked } = await audit(
      (response) => sendJson(response, pages[page++]),
      ...flags,
      ...time,
      '--all',
      '--json',
    );
    assert.deepEqual(JSON.parse(stdout), { events: [refused, accepted], next_cursor: null });
    const query = {
      client_id: 'till-7',
      actor: 'anna',
      action: 'client.block',
      outcome: 'refused',
      since: '2026-11-01T00:00:00Z',
      until: '2026-12-01T06:00:00Z',
      limit: '500',
    };
    assert.deepEqual(
      asked.map((params) => Object.fromEntries(params)),
      [query, { ...query, cursor: 'next' }],
    );
  });

  test('accepts a duration as a time, and --actor as the earlier name of --by', async () => {
    const before = Date.now();
    const { asked } = await audit(
      (response) => sendJson(response, { events: [], next_cursor: null }),
      ...['--since', '24h', '--actor', 'anna'],
    );
    const since = Date.parse(asked[0]?.get('since') ?? '');
    assert.ok(since >= before - 86_400_000 && since <= Date.now() - 86_400_000, `${since}`);
    assert.equal(asked[0]?.get('actor'), 'anna');
  });

  test('explains that a server is too old for --outcome, or for the audit', async () => {
    const older = await audit(
      (response) =>
        sendProblem(response, 'invalid_request', `The request's querystring: Unrecognized key: "outcome"`),
      ...['--outcome', 'refused'],
    );
    assert.equal(older.code, 2);
    assert.match(older.stderr, /This server does not know --outcome: it records accepted requests only\./);
    assert.match(older.stderr, /Leave --outcome out, or update the server/);
    const oldest = await audit((response) => sendProblem(response, 'not_found'));
    assert.equal(oldest.code, 2);
    assert.match(oldest.stderr, /This server has no audit\.[^]*Update the server/);
  });

  test('rejects an unknown outcome', async () => {
    const { code, stderr, asked } = await audit(() => {}, '--outcome', 'bad');
    assert.equal(code, 2);
    assert.match(stderr, /accepted, refused, failed/);
    assert.deepEqual(asked, []);
  });
});
