import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openSqliteStore } from '../../store/open-sqlite-store.ts';
import { DomainBench } from '../fakes/domain-bench.ts';
import { FILE_BYTES, partUploadedMessage, progressMessage } from '../fakes/fake-agent.ts';
import { partUploaded } from '../agent-messages/part-uploaded.ts';
import { endSession } from '../sessions/end-session.ts';

const MiB = 1024 * 1024;

async function openBench(): Promise<DomainBench> {
  return new DomainBench(await openSqliteStore(':memory:'));
}

test('bytes on their way are those beyond what is stored, and change no row', async () => {
  await using bench = await openBench();
  const { progress } = bench.context;
  const { agent, upload } = await bench.uploading();
  assert.equal(progress.bytesInFlight(upload), undefined);
  await progress.report(agent.session, progressMessage(upload, 7 * MiB));
  assert.equal(progress.bytesInFlight(upload), 7 * MiB);
  assert.equal((await bench.upload(upload.uploadId)).version, upload.version);
  await partUploaded(bench.context, agent.session, partUploadedMessage(upload, [1]));
  assert.equal(progress.bytesInFlight(await bench.upload(upload.uploadId)), 2 * MiB);
  await partUploaded(bench.context, agent.session, partUploadedMessage(upload, [2]));
  assert.equal(progress.bytesInFlight(await bench.upload(upload.uploadId)), 0);
});

test('a part that is cut off takes them back; more than the file has is not believed', async () => {
  await using bench = await openBench();
  const { progress } = bench.context;
  const { agent, upload } = await bench.uploading();
  await progress.report(agent.session, progressMessage(upload, 99 * FILE_BYTES));
  assert.equal(progress.bytesInFlight(upload), FILE_BYTES);
  await progress.report(agent.session, progressMessage(upload, 1000));
  assert.equal(progress.bytesInFlight(upload), 1000);
});

test('only the session and the attempt that move the upload speak for it', async () => {
  await using bench = await openBench();
  const { progress } = bench.context;
  const { agent, upload } = await bench.uploading();
  const stranger = await bench.connect('client-2');
  await progress.report(stranger.session, progressMessage(upload, 1000));
  await progress.report(agent.session, progressMessage({ ...upload, attempt: 2 }, 2000));
  assert.equal(progress.bytesInFlight(upload), undefined);
  await progress.report(agent.session, progressMessage(upload, 3000));
  assert.equal(progress.bytesInFlight(upload), 3000);
  const newer = await bench.connect('client-1');
  await progress.report(newer.session, progressMessage(upload, 4000));
  await progress.report(agent.session, progressMessage(upload, 5000));
  assert.equal(progress.bytesInFlight(upload), undefined, 'its owner has changed');
  assert.equal(progress.bytesInFlight({ ...upload, epoch: newer.session.epoch }), 4000);
});

test('it stays little, and goes with the session', async () => {
  await using bench = await openBench();
  const { progress } = bench.context;
  const { agent, upload } = await bench.uploading();
  await progress.report(agent.session, progressMessage(upload, 1000));
  for (let number = 0; number < 64; number += 1) {
    const uploadId = `019ab3c2-5f00-7000-8000-${String(number).padStart(12, '0')}`;
    await progress.report(agent.session, progressMessage({ uploadId, attempt: 1 }, 1000));
  }
  assert.equal(progress.bytesInFlight(upload), undefined, 'the oldest gave way');
  await progress.report(agent.session, progressMessage(upload, 1000));
  assert.equal(progress.bytesInFlight(upload), 1000);
  await endSession(bench.context, agent.session);
  assert.equal(progress.bytesInFlight(upload), undefined);
});

test('watchers are woken once a second at most, however often an agent speaks, and not missing the last', async (context) => {
  await using bench = await openBench();
  const { progress } = bench.context;
  const { agent, upload } = await bench.uploading();
  let woken = 0;
  const leave = [1, 2].map(() => progress.subscribe(upload, () => (woken += 1)));
  context.mock.timers.enable({ apis: ['setTimeout'] });
  for (let bytes = 1; bytes <= 100; bytes += 1) {
    await progress.report(agent.session, progressMessage(upload, bytes));
  }
  assert.equal(woken, 2, 'each at once');
  context.mock.timers.tick(999);
  assert.equal(woken, 2);
  context.mock.timers.tick(1);
  assert.equal(woken, 4, 'of all that came meanwhile, once');
  assert.equal(progress.bytesInFlight(upload), 100);
  context.mock.timers.tick(10_000);
  assert.equal(woken, 4, 'nothing was said since');
  for (const one of leave) one();
  await progress.report(agent.session, progressMessage(upload, 1));
  context.mock.timers.tick(10_000);
  assert.equal(woken, 4);
});

test('an agent wakes no watcher of an upload that is not its own', async () => {
  await using bench = await openBench();
  const { progress } = bench.context;
  const { agent, upload } = await bench.uploading();
  const stranger = await bench.connect('client-2');
  let woken = 0;
  const leave = progress.subscribe(upload, () => (woken += 1));
  await progress.report(stranger.session, progressMessage(upload, 1000));
  assert.equal(woken, 0);
  await progress.report(agent.session, progressMessage(upload, 1000));
  assert.equal(woken, 1);
  leave();
});
