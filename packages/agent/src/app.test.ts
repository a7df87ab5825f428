import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import test from 'node:test';
import { AgentFixture, MiB, runUpload } from '../../../test/harness/agent/agent-fixture.ts';

test('a file is prepared, sent in parts and reported completed', async () => {
  await using fixture = await AgentFixture.start();
  const { path, content } = await fixture.file('report.bin', 12 * MiB + 345);
  const session = await fixture.server.acceptAndWelcome();
  const final = await runUpload(session, fixture.store, path);

  assert.equal(final.status, 'completed', JSON.stringify(final));
  assert.ok(final.status === 'completed');
  assert.equal(final.size, content.length);
  assert.equal(final.file_name, 'report.bin');
  assert.deepEqual(
    final.parts,
    [1, 2, 3].map((part_number) => ({ part_number, etag: `"etag-${part_number}"` })),
  );
  assert.equal(final.sha256, createHash('sha256').update(content).digest('hex'));
  assert.ok(fixture.store.object().equals(content));
  assert.equal(fixture.store.puts.length, 3);
});
