import assert from 'node:assert/strict';
import { once } from 'node:events';
import { describe, test } from 'node:test';
import { FakeBackhaul, sendEvents, sendJson } from '../../../test/doubles/fake-backhaul.ts';
import { finishCli, runCli, startCli } from '../../../test/harness/cli/run-cli.ts';
import { UPLOAD_ID, uploadRecord } from '../../../test/harness/upload-record.ts';

const running = {
  ...uploadRecord(),
  status: 'paused',
  on_change: 'snapshot',
  checksum_mode: 'crc64nvme',
  version: 8,
};
const ended = {
  ...running,
  status: 'superseded',
  error: 'quota_exceeded',
  message: null,
  checksum: { algorithm: 'crc64nvme', type: 'composite', value: 'AAAAAAAAAAA=' },
  verification: 'signature',
  completed_at: '2025-11-01T10:31:00.000Z',
  version: 9,
};
const known = uploadRecord({ upload_id: UPLOAD_ID.replace(/1$/, '2'), status: 'completed' });
const client = {
  client_id: 'restaurant-1',
  connected: true,
  connected_since: null,
  last_seen_at: null,
  agent_version: '9.0.0',
  platform: { os: 'plan9', arch: 'riscv64', hostname: null, cores: 8 },
  labels: {},
  default_file_path: null,
  limits: { max_rate: 2048, max_parts: 3 },
};
/** A field that this version does not know. */
const more = { kind: 'archive' };

function start(): Promise<FakeBackhaul> {
  return FakeBackhaul.start({
    'GET /uploads': (response) =>
      sendJson(response, {
        uploads: [{ ...ended, ...more }, { ...running, ...more }, known],
        next_cursor: null,
        ...more,
      }),
    [`GET /uploads/${UPLOAD_ID}`]: (response) => sendJson(response, { ...running, ...more }),
    [`GET /uploads/${UPLOAD_ID}/events`]: (response) => sendEvents(response, [running, ended]),
    'GET /events': (response) => sendEvents(response, [running]),
    'GET /clients': (response) =>
      sendJson(response, { clients: [{ ...client, ...more }], next_cursor: null }),
    'GET /status/restaurant-1': (response) =>
      sendJson(response, { ...client, ...more, active_uploads: [running], last_upload: ended }),
  });
}

describe('with a server of a later version', { concurrency: 4 }, () => {
  test('uploads lists records with unknown status and error', async () => {
    await using server = await start();
    const { code, stdout, stderr } = await runCli(['uploads'], { env: server.env });
    assert.equal(code, 0, stderr);
    assert.match(stdout, /superseded .* \/data\/report\.bin \(quota_exceeded\)\n/);
    assert.match(stdout, / paused /);
    assert.match(stdout, / completed /);
    const json = await runCli(['uploads', '--json'], { env: server.env });
    assert.deepEqual(JSON.parse(json.stdout), { uploads: [ended, running, known], next_cursor: null });
  });

  test('uploads shows one record', async () => {
    await using server = await start();
    const { code, stdout, stderr } = await runCli(['uploads', UPLOAD_ID], { env: server.env });
    assert.equal(code, 0, stderr);
    assert.match(stdout, /^status +paused$/m);
    assert.match(stdout, /^on change +snapshot$/m);
  });

  test('an upload that ends with an unknown status has failed', async () => {
    await using server = await start();
    const { code, stdout, stderr } = await runCli(['uploads', UPLOAD_ID, '--follow'], { env: server.env });
    assert.equal(code, 7);
    assert.match(stdout, /^paused$/m);
    assert.match(stdout, /^superseded$/m);
    assert.match(stderr, /The upload ended: quota_exceeded\./);
  });

  test('status shows its uploads', async () => {
    await using server = await start();
    const { code, stdout, stderr } = await runCli(['status', 'restaurant-1'], { env: server.env });
    assert.equal(code, 0, stderr);
    assert.match(stdout, / paused /);
  });

  test('events prints unknown statuses as they are', async () => {
    await using server = await start();
    const { code, stdout, stderr } = await runCli(['events'], { env: server.env });
    assert.equal(code, 0, stderr);
    assert.match(stdout, /10:31:00\.000Z .* superseded +\/data\/report\.bin +\(quota_exceeded\)\n$/);
    const child = startCli(['events', '--follow'], { env: server.env });
    const [line] = (await once(child.stdout, 'data')) as [Buffer];
    assert.match(line.toString(), / paused +\/data\/report\.bin\n$/);
    child.kill('SIGINT');
    await finishCli(child);
  });

  test('clients lists machines', async () => {
    await using server = await start();
    const { code, stdout, stderr } = await runCli(['clients'], { env: server.env });
    assert.equal(code, 0, stderr);
    assert.match(stdout, /restaurant-1 .* plan9\/riscv64/);
  });

  test('verify prints an unknown verdict and exits with 1', async () => {
    await using server = await FakeBackhaul.start({
      [`GET /uploads/${UPLOAD_ID}`]: (response) => sendJson(response, { ...ended, status: 'completed' }),
      [`GET /uploads/${UPLOAD_ID}/verification`]: (response) =>
        sendJson(response, {
          upload_id: UPLOAD_ID,
          verdict: 'moved',
          verification: 'signature',
          checks: [{ name: 'signature', ok: true, expected: 'a', found: 'a' }],
          key_state: 'archived',
          checked_at: '2025-11-01T10:31:00.000Z',
        }),
    });
    const { code, stdout, stderr } = await runCli(['verify', UPLOAD_ID], { env: server.env });
    assert.equal(code, 1);
    assert.match(stdout, /^moved +s3:/m);
    assert.match(stderr, /does not know the verdict moved/);
  });
});
