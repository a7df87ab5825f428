import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import test from 'node:test';
import { AgentBench, MiB, pull } from './fakes/agent-bench.ts';

test('a file is prepared, sent in parts and reported completed', async () => {
  await using bench = await AgentBench.start();
  const { path, content } = await bench.file('report.bin', 12 * MiB + 345);
  const session = await bench.server.acceptAndWelcome();
  const final = await pull(session, bench.store, path);

  assert.equal(final.status, 'completed', JSON.stringify(final));
  assert.ok(final.status === 'completed');
  assert.equal(final.size, content.length);
  assert.equal(final.file_name, 'report.bin');
  assert.deepEqual(
    final.parts,
    [1, 2, 3].map((part_number) => ({ part_number, etag: `"etag-${part_number}"` })),
  );
  assert.equal(final.sha256, createHash('sha256').update(content).digest('hex'));
  assert.ok(bench.store.object().equals(content));
  assert.equal(bench.store.puts.length, 3);
});
