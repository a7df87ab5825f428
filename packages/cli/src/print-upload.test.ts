import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FakeBackhaul, sendJson } from '../../../test/doubles/fake-backhaul.ts';
import { runCli } from '../../../test/harness/cli/run-cli.ts';
import { UPLOAD_ID, uploadRecord } from '../../../test/harness/upload-record.ts';

test('a waiting upload is shown with start, reason, deadline and next try', async () => {
  const soon = new Date(Date.now() + 3_600_000).toISOString();
  await using server = await FakeBackhaul.start({
    [`GET /uploads/${UPLOAD_ID}`]: (response) =>
      sendJson(
        response,
        uploadRecord({
          status: 'queued',
          attempt: 3,
          stalled_since: new Date(Date.now() - 120_500).toISOString(),
          stalled_reason: 'The object store cannot be reached.',
          next_retry_at: soon,
          expires_at: soon,
          on_change: 'restart',
        }),
      ),
  });
  const { code, stdout } = await runCli(['uploads', UPLOAD_ID], { env: server.env });
  assert.equal(code, 0);
  assert.match(stdout, /^attempt +3$/m);
  assert.match(stdout, /^stalled +since 2 min ago: The object store cannot be reached\.$/m);
  assert.match(stdout, /^next try +in (1 h|59 min \d+ s)$/m);
  assert.match(stdout, /^on change +restart$/m);
  assert.match(stdout, /^expires +\S+Z \(in (1 h|59 min \d+ s)\)$/m);
});

test('an upload that has ended is shown without a deadline', async () => {
  await using server = await FakeBackhaul.start({
    [`GET /uploads/${UPLOAD_ID}`]: (response) =>
      sendJson(response, uploadRecord({ status: 'completed', completed_at: '2025-11-01T10:30:03.450Z' })),
  });
  const { stdout } = await runCli(['uploads', UPLOAD_ID], { env: server.env });
  assert.doesNotMatch(stdout, /^(expires|next try|stalled)/m);
});
