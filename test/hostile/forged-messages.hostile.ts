import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pullUnderWay } from '../harness/pull-under-way.ts';
import { AgentSocket } from '../protocol/agent-socket.ts';
import { plainHello } from '../protocol/suite-client.ts';
import { Stage } from '../harness/stage.ts';

const part = { part_number: 1, size: 5_242_880, crc32: 'AAAAAA==' };
const fingerprint = { device: '1', inode: '1', size: '1', mtime_ns: '1', ctime_ns: '1' };
const file = { file_name: 'large.bin', size: 62_914_571 };

/** All messages about an upload that could end, divert or finish another agent's upload. */
const forgeries = [
  {
    ...{ status: 'prepared', ...file, chunk_size: 5_242_880, part_count: 13, fingerprint },
    ...{ source_modified_at: '2025-11-01T10:30:00.000Z', parts: [part] },
  },
  { status: 'resumed', size: file.size, fingerprint },
  { status: 'parts_ready', parts: [part] },
  { status: 'part_uploaded', parts: [{ part_number: 13, etag: '"forged"' }], retries: 9 },
  { status: 'stalled', reason: 'forged', retry_in_ms: 86_400_000 },
  { status: 'completed', ...file, parts: [{ part_number: 1, etag: '"forged"' }], upload_duration_ms: 1 },
  { status: 'completed', ...file, parts: [], resumed: true, upload_duration_ms: 1 },
  { status: 'failed', error: 'cancelled', message: 'forged' },
  { status: 'failed', error: 'agent_busy', message: 'forged' },
  // The schema refuses this one: it tests that a refused message does not end its upload.
  { status: 'prepared', size: 'forged' },
] as const;

test('an agent’s messages about another agent’s upload get nothing and change nothing', async (t) => {
  await using stage = await Stage.start();
  const pull = await pullUnderWay(stage);
  const attacker = await AgentSocket.open({
    url: `${stage.webSocketUrl}/ws/connect`,
    authorization: `Bearer ${await stage.tokens.agent('attacker')}`,
  });
  assert.ok(attacker instanceof AgentSocket);
  attacker.send({ ...plainHello, running: [{ upload_id: pull.uploadId, attempt: 1 }] });
  const { uploads } = await attacker.next('welcome');
  assert.deepEqual(uploads, [{ upload_id: pull.uploadId, attempt: 1, verdict: 'drop' }]);

  let sent = 0;
  for (const forgery of forgeries) {
    for (const attempt of [1, 2, 1_000_000]) {
      attacker.send({ ...forgery, upload_id: pull.uploadId, attempt });
      sent += 1;
    }
  }
  await attacker.settle();
  const heard = new Set(attacker.unread.map(({ action }) => action));
  assert.deepEqual(
    [...heard].filter((action) => action !== 'error'),
    [],
    'not even whether the upload exists',
  );
  const record = await stage.ended(pull.uploadId);
  assert.deepEqual(
    { status: record.status, attempt: record.attempt, sha256: record.sha256 },
    { status: 'completed', attempt: 1, sha256: pull.sha256 },
  );
  assert.equal(record.stalled_reason, null);
  await attacker.close();
  t.diagnostic(`${sent} forged messages`);
});
