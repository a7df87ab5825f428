import assert from 'node:assert/strict';
import test from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { BackhaulError } from '@backhaul/protocol';
import { AgentBench, MiB, prepareMessage, pull } from '../fakes/agent-bench.ts';
import { uuidv7 } from '../fakes/uuid.ts';
import { createLog } from '../log.ts';
import { defaultTimings } from './timings.ts';
import { Transfers } from './transfers.ts';
import type { TransferTools } from './transfer-tools.ts';

/** Transfers that get no further than opening their file, which fails when the test says so. */
function openTransfers() {
  const opening: PromiseWithResolvers<never>[] = [];
  const tools = {
    link: { connected: true, send: () => true },
    openFile: () => {
      const opened = Promise.withResolvers<never>();
      opening.push(opened);
      return opened.promise;
    },
    log: createLog({ level: 'debug', format: 'json', write: () => undefined }),
    timings: defaultTimings,
  } as unknown as TransferTools;
  return { opening, transfers: new Transfers({ tools, maxActive: 4 }) };
}

for (const verdict of ['drop', 'continue'] as const) {
  test(`the next attempt opens the file only once the last one has closed it, also after a ${verdict}`, async () => {
    const { opening, transfers } = openTransfers();
    const uploadId = uuidv7();
    transfers.prepare(prepareMessage('/data/file', { uploadId, attempt: 1 }));
    await nextTurn();
    assert.equal(opening.length, 1);

    const applied = transfers.applyVerdicts([{ upload_id: uploadId, attempt: 1, verdict }]);
    transfers.prepare(prepareMessage('/data/file', { uploadId, attempt: 2 }));
    await nextTurn();
    assert.equal(opening.length, 1, 'both at once');
    opening[0]?.reject(new BackhaulError('file_not_found'));
    await applied;
    await nextTurn();
    assert.equal(opening.length, 2);
    assert.deepEqual(transfers.running(), [{ upload_id: uploadId, attempt: 2 }]);
    opening[1]?.reject(new BackhaulError('file_not_found'));
    await transfers.close();
  });
}

test('bytes of a part on its way are told, below 5 MiB too, and taken back when it is cut off', async () => {
  // Some 30 pieces of the part, each a moment after the other.
  await using bench = await AgentBench.start({ config: { maxRate: () => 2 * MiB } });
  const session = await bench.server.accept();
  await session.next('hello');
  session.welcome([], { progress_interval_ms: 100 });
  const { path } = await bench.file('report.bin', MiB);
  bench.store.fault = async ({ try: attempt, socket }, request) => {
    if (attempt > 1) return false;
    let received = 0;
    for await (const chunk of request) {
      received += (chunk as Buffer).length;
      if (received > MiB / 2) break;
    }
    socket.destroy();
    return true;
  };
  const ended = await pull(session, bench.store, path);
  assert.equal(ended.status, 'completed');
  const told = session.heard.flatMap((message) =>
    message.status === 'progress' ? [message.bytes_sent] : [],
  );
  assert.ok(told.length >= 4, told.join(' '));
  assert.ok(told.every((bytes) => bytes <= MiB));
  const cuts = told.filter((bytes, index) => bytes < (told[index - 1] ?? 0));
  assert.equal(cuts.length, 1, told.join(' '));
});

test('a server that does not ask for it is told no progress', async () => {
  await using bench = await AgentBench.start({ config: { maxRate: () => 2 * MiB } });
  const session = await bench.server.acceptAndWelcome();
  const { path } = await bench.file('report.bin', MiB);
  await pull(session, bench.store, path);
  assert.ok(session.heard.every(({ status }) => status !== 'progress'));
});
