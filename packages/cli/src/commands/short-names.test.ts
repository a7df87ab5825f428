import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { FakeBackhaul, sendJson, sendProblem } from '../../../../test/doubles/fake-backhaul.ts';
import { runCli } from '../../../../test/harness/cli/run-cli.ts';
import { uploadRecord } from '../../../../test/harness/upload-record.ts';

const ids = [
  '019ab3c2-5f00-7000-8000-00000000000a',
  '019ab3c2-5f00-7000-8000-00000000000b',
  '019ab3b1-0000-7000-8000-00000000000c',
  '01890000-0000-7000-8000-00000000000d',
];

describe('a prefix of an upload_id', { concurrency: 4 }, () => {
  const start = () =>
    FakeBackhaul.start({
      'GET /uploads': (response, { path }) => {
        const isSecond = path.includes('cursor=2');
        const uploads = (isSecond ? ids.slice(2) : ids.slice(0, 2)).map((upload_id) =>
          uploadRecord({ upload_id }),
        );
        sendJson(response, { uploads, next_cursor: isSecond ? null : '2' });
      },
      [`POST /uploads/${ids[2]}/cancel`]: (response) =>
        sendJson(response, uploadRecord({ upload_id: ids[2] ?? '', status: 'cancelled' })),
    });

  test('selects the only matching upload, on any page of the list', async () => {
    await using server = await start();
    const { code, stdout, stderr } = await runCli(['cancel', '019ab3B'], { env: server.env });
    assert.equal(code, 0, stderr);
    assert.equal(stdout, `${ids[2]} is cancelled.\n`);
  });

  test('that matches several uploads is refused with their ids', async () => {
    await using server = await start();
    const { code, stderr } = await runCli(['cancel', '019ab3c2'], { env: server.env });
    assert.equal(code, 2);
    assert.match(stderr, new RegExp(`Several upload ids start with 019ab3c2: ${ids[0]}, ${ids[1]}\\.`));
    assert.ok(!server.requests.some(({ method }) => method === 'POST'));
  });

  test('that matches no upload is not found', async () => {
    await using server = await start();
    const { code, stderr } = await runCli(['content', '0199', '--output', '-'], { env: server.env });
    assert.equal(code, 4);
    assert.match(stderr, /No upload id starts with 0199\./);
  });
});

test('the error for an unknown client_id suggests a similar one', async () => {
  const summaries = ['r001', 'r002', 'lab-7'].map((client_id) => ({
    client_id,
    connected: true,
    connected_since: null,
    last_seen_at: null,
    agent_version: null,
    platform: null,
    labels: {},
    default_file_path: null,
  }));
  await using server = await FakeBackhaul.start({
    'GET /status/r0001': (response) =>
      sendProblem(response, 'client_not_found', 'No agent has ever connected.'),
    'POST /trigger-download/x': (response) => sendProblem(response, 'client_not_found'),
    'GET /clients': (response) => sendJson(response, { clients: summaries, next_cursor: null }),
  });
  const near = await runCli(['status', 'r0001'], { env: server.env });
  assert.equal(near.code, 4);
  assert.match(near.stderr, /→ Did you mean r001\?\n$/);
  const far = await runCli(['download', '--client-id', 'x'], { env: server.env });
  assert.equal(far.code, 4);
  assert.match(far.stderr, /→ Check the client_id/);
});
