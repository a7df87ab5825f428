import assert from 'node:assert/strict';
import test from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { BackhaulError } from '@backhaul/protocol';
import {
  AgentFixture,
  MiB,
  prepareMessage,
  runUpload,
} from '../../../../test/harness/agent/agent-fixture.ts';
import { uuidv7 } from '../../../../test/harness/agent/uuid.ts';
import { createLog } from '../log.ts';
import { defaultTimings, type TransferDeps } from './transfer-deps.ts';
import { Transfers } from './transfers.ts';

/** Transfers that only open their file; the test makes the open fail. */
function openTransfers() {
  const opening: PromiseWithResolvers<never>[] = [];
  const deps = {
    link: { connected: true, send: () => true },
    openFile: () => {
      const opened = Promise.withResolvers<never>();
      opening.push(opened);
      return opened.promise;
    },
    log: createLog({ level: 'debug', format: 'json', write: () => undefined }),
    timings: defaultTimings,
  } as unknown as TransferDeps;
  return { opening, transfers: new Transfers({ deps, maxActive: 4 }) };
}

for (const verdict of ['drop', 'continue'] as const) {
  test(`the next attempt opens the file only after the previous one has closed it, also after a ${verdict}`, async () => {
    const { opening, transfers } = openTransfers();
    const uploadId = uuidv7();
    transfers.prepare(prepareMessage('/data/file', { uploadId, attempt: 1 }));
    await nextTurn();
    assert.equal(opening.length, 1);

    const applied = transfers.applyDecisions([{ upload_id: uploadId, attempt: 1, verdict }]);
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

test('bytes of a running PUT are reported, also below 5 MiB, and subtracted if it fails', async () => {
  // About 30 writes for the part, spread over time.
  await using fixture = await AgentFixture.start({ config: { maxRate: () => 2 * MiB } });
  const session = await fixture.server.accept();
  await session.next('hello');
  session.welcome([], { progress_interval_ms: 100 });
  const { path } = await fixture.file('report.bin', MiB);
  fixture.store.fault = async ({ try: attempt, socket }, request) => {
    if (attempt > 1) return false;
    let received = 0;
    for await (const chunk of request) {
      received += (chunk as Buffer).length;
      if (received > MiB / 2) break;
    }
    socket.destroy();
    return true;
  };
  const ended = await runUpload(session, fixture.store, path);
  assert.equal(ended.status, 'completed');
  const reported = session.received.flatMap((message) =>
    message.status === 'progress' ? [message.bytes_sent] : [],
  );
  assert.ok(reported.length >= 4, reported.join(' '));
  assert.ok(reported.every((bytes) => bytes <= MiB));
  const cuts = reported.filter((bytes, index) => bytes < (reported[index - 1] ?? 0));
  assert.equal(cuts.length, 1, reported.join(' '));
});

test('progress is not reported to a server that does not request it', async () => {
  await using fixture = await AgentFixture.start({ config: { maxRate: () => 2 * MiB } });
  const session = await fixture.server.acceptAndWelcome();
  const { path } = await fixture.file('report.bin', MiB);
  await runUpload(session, fixture.store, path);
  assert.ok(session.received.every(({ status }) => status !== 'progress'));
});
