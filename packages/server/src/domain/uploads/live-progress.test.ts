import assert from 'node:assert/strict';
import { test } from 'node:test';
import { openSqliteStore } from '../../store/open-sqlite-store.ts';
import { DomainFixture } from '../../../../../test/harness/server/domain-fixture.ts';
import { FILE_BYTES, partUploadedMessage, progressMessage } from '../../../../../test/doubles/fake-agent.ts';
import { partUploaded } from '../agents/handlers/parts.ts';
import { endSession } from '../agents/handlers/hello.ts';

const MiB = 1024 * 1024;

async function openFixture(): Promise<DomainFixture> {
  return new DomainFixture(await openSqliteStore(':memory:'));
}

test('bytes in flight are those beyond the stored ones, and change no row', async () => {
  await using fixture = await openFixture();
  const { progress } = fixture.context;
  const { agent, upload } = await fixture.uploading();
  assert.equal(progress.bytesInFlight(upload), undefined);
  await progress.report(agent.session, progressMessage(upload, 7 * MiB));
  assert.equal(progress.bytesInFlight(upload), 7 * MiB);
  assert.equal((await fixture.upload(upload.uploadId)).version, upload.version);
  await partUploaded(fixture.context, agent.session, partUploadedMessage(upload, [1]));
  assert.equal(progress.bytesInFlight(await fixture.upload(upload.uploadId)), 2 * MiB);
  await partUploaded(fixture.context, agent.session, partUploadedMessage(upload, [2]));
  assert.equal(progress.bytesInFlight(await fixture.upload(upload.uploadId)), 0);
});

test('a cut-off part reduces them; more than the file size is ignored', async () => {
  await using fixture = await openFixture();
  const { progress } = fixture.context;
  const { agent, upload } = await fixture.uploading();
  await progress.report(agent.session, progressMessage(upload, 99 * FILE_BYTES));
  assert.equal(progress.bytesInFlight(upload), FILE_BYTES);
  await progress.report(agent.session, progressMessage(upload, 1000));
  assert.equal(progress.bytesInFlight(upload), 1000);
});

test('only reports of the upload’s current session and attempt count', async () => {
  await using fixture = await openFixture();
  const { progress } = fixture.context;
  const { agent, upload } = await fixture.uploading();
  const stranger = await fixture.connect('client-2');
  await progress.report(stranger.session, progressMessage(upload, 1000));
  await progress.report(agent.session, progressMessage({ ...upload, attempt: 2 }, 2000));
  assert.equal(progress.bytesInFlight(upload), undefined);
  await progress.report(agent.session, progressMessage(upload, 3000));
  assert.equal(progress.bytesInFlight(upload), 3000);
  const newer = await fixture.connect('client-1');
  await progress.report(newer.session, progressMessage(upload, 4000));
  await progress.report(agent.session, progressMessage(upload, 5000));
  assert.equal(progress.bytesInFlight(upload), undefined, 'its owner has changed');
  assert.equal(progress.bytesInFlight({ ...upload, epoch: newer.session.epoch }), 4000);
});

test('it stays small and is removed with the session', async () => {
  await using fixture = await openFixture();
  const { progress } = fixture.context;
  const { agent, upload } = await fixture.uploading();
  await progress.report(agent.session, progressMessage(upload, 1000));
  for (let number = 0; number < 64; number += 1) {
    const uploadId = `019ab3c2-5f00-7000-8000-${String(number).padStart(12, '0')}`;
    await progress.report(agent.session, progressMessage({ uploadId, attempt: 1 }, 1000));
  }
  assert.equal(progress.bytesInFlight(upload), undefined, 'the oldest was removed');
  await progress.report(agent.session, progressMessage(upload, 1000));
  assert.equal(progress.bytesInFlight(upload), 1000);
  await endSession(fixture.context, agent.session);
  assert.equal(progress.bytesInFlight(upload), undefined);
});

test('watchers are notified at most once a second, and never miss the last report', async (context) => {
  await using fixture = await openFixture();
  const { progress } = fixture.context;
  const { agent, upload } = await fixture.uploading();
  let notified = 0;
  const leave = [1, 2].map(() => progress.subscribe(upload, () => (notified += 1)));
  context.mock.timers.enable({ apis: ['setTimeout'] });
  for (let bytes = 1; bytes <= 100; bytes += 1) {
    await progress.report(agent.session, progressMessage(upload, bytes));
  }
  assert.equal(notified, 2, 'each immediately');
  context.mock.timers.tick(999);
  assert.equal(notified, 2);
  context.mock.timers.tick(1);
  assert.equal(notified, 4, 'once for all reports in between');
  assert.equal(progress.bytesInFlight(upload), 100);
  context.mock.timers.tick(10_000);
  assert.equal(notified, 4, 'no report since');
  for (const one of leave) one();
  await progress.report(agent.session, progressMessage(upload, 1));
  context.mock.timers.tick(10_000);
  assert.equal(notified, 4);
});

test('an agent’s report does not notify watchers of another agent’s upload', async () => {
  await using fixture = await openFixture();
  const { progress } = fixture.context;
  const { agent, upload } = await fixture.uploading();
  const stranger = await fixture.connect('client-2');
  let notified = 0;
  const leave = progress.subscribe(upload, () => (notified += 1));
  await progress.report(stranger.session, progressMessage(upload, 1000));
  assert.equal(notified, 0);
  await progress.report(agent.session, progressMessage(upload, 1000));
  assert.equal(notified, 1);
  leave();
});
