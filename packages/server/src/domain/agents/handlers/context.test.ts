import assert from 'node:assert/strict';
import { test } from 'node:test';
import { v7 as uuidv7 } from 'uuid';
import { openSqliteStore } from '../../../store/open-sqlite-store.ts';
import { completed, failed } from './endings.ts';
import { partsReady, partUploaded, stalled } from './parts.ts';
import { prepared, resumed } from './prepared.ts';
import { DomainFixture } from '../../../../../../test/harness/server/domain-fixture.ts';
import {
  announce,
  completedMessage,
  failedMessage,
  FILE_BYTES,
  partsReadyMessage,
  partUploadedMessage,
  preparedMessage,
  resumedMessage,
  sayHello,
  stalledMessage,
} from '../../../../../../test/doubles/fake-agent.ts';
import type { AgentSession } from '../session.ts';
import { type TransferContext, withoutSignatures } from './context.ts';

type About = { readonly uploadId: string; readonly attempt: number };
type Say = (context: TransferContext, session: AgentSession, about: About) => Promise<void>;

/** Every message about an upload. */
const messages: Record<string, Say> = {
  prepared: (context, session, about) => prepared(context, session, preparedMessage(about)),
  resumed: (context, session, about) => resumed(context, session, resumedMessage(about)),
  stalled: (context, session, about) => stalled(context, session, stalledMessage(about)),
  parts_ready: (context, session, about) =>
    partsReady(context, session, partsReadyMessage(about, announce(FILE_BYTES, [1]))),
  part_uploaded: (context, session, about) => partUploaded(context, session, partUploadedMessage(about, [1])),
  completed: (context, session, about) => completed(context, session, completedMessage(about)),
  failed: (context, session, about) => failed(context, session, failedMessage(about, 'read_failed')),
};

async function openFixture(): Promise<DomainFixture> {
  return new DomainFixture(await openSqliteStore(':memory:'));
}

for (const [name, say] of Object.entries(messages)) {
  test(`${name} of an older epoch is ignored`, async () => {
    await using fixture = await openFixture();
    const { agent, upload } = await fixture.uploading();
    await fixture.connect('client-1', { running: [{ upload_id: upload.uploadId, attempt: 1 }] });
    const before = await fixture.upload(upload.uploadId);
    const frames = agent.connection.frames.length;
    await say(fixture.context, agent.session, upload);
    assert.deepEqual(await fixture.upload(upload.uploadId), before);
    assert.equal(agent.connection.frames.length, frames);
  });

  test(`${name} of another attempt is ignored, and the agent is told to stop it`, async () => {
    await using fixture = await openFixture();
    const { agent, upload } = await fixture.uploading();
    const before = await fixture.upload(upload.uploadId);
    await say(fixture.context, agent.session, { ...upload, attempt: 2 });
    assert.deepEqual(await fixture.upload(upload.uploadId), before);
    const [cancellations] = agent.connection.sent('cancel_upload');
    assert.equal(cancellations?.attempt, 2);
  });

  test(`${name} of another client is ignored and reveals nothing`, async () => {
    await using fixture = await openFixture();
    const { upload } = await fixture.uploading();
    const before = await fixture.upload(upload.uploadId);
    const { connection, session } = await sayHello(fixture.context, 'client-2');
    assert.ok(session !== undefined);
    const forged: AgentSession = { ...session, epoch: upload.epoch ?? 0 };
    const frames = connection.frames.length;
    await say(fixture.context, forged, upload);
    await say(fixture.context, forged, { uploadId: uuidv7(), attempt: 1 });
    assert.deepEqual(await fixture.upload(upload.uploadId), before);
    assert.equal(connection.frames.length, frames, 'indistinguishable from an unknown upload');
  });

  test(`${name} about an ended upload is ignored, and the agent is told to stop it`, async () => {
    await using fixture = await openFixture();
    const { agent, upload } = await fixture.uploading();
    await fixture.domain.uploads.cancel(upload.uploadId, 'operator-1');
    const before = await fixture.upload(upload.uploadId);
    await say(fixture.context, agent.session, upload);
    assert.deepEqual(await fixture.upload(upload.uploadId), before);
    const cancellations = agent.connection.sent('cancel_upload');
    assert.equal(cancellations.length, 2, 'once at the cancel, once now');
    assert.match(cancellations[1]?.reason ?? '', /attempt 1 has ended/);
  });

  test(`${name} while the upload is completing is ignored`, async () => {
    await using fixture = await openFixture();
    const release = fixture.bucket.hold('completeMultipartUpload');
    const { agent, upload } = await fixture.completing();
    const before = await fixture.upload(upload.uploadId);
    assert.equal(before.status, 'completing');
    await say(fixture.context, agent.session, upload);
    assert.deepEqual(await fixture.upload(upload.uploadId), before);
    assert.equal(fixture.bucket.count('abortMultipartUpload'), 0);
    release();
    await fixture.reaches(upload.uploadId, 'completed');
  });

  test(`${name} of a queued upload is ignored`, async () => {
    await using fixture = await openFixture();
    fixture.bucket.fail('capabilities', 'unavailable', { times: 10 });
    const agent = await fixture.connect();
    const upload = await fixture.trigger();
    await fixture.idle();
    const before = await fixture.upload(upload.uploadId);
    assert.equal(before.status, 'queued');
    await say(fixture.context, agent.session, upload);
    assert.deepEqual(await fixture.upload(upload.uploadId), before);
  });
}

const url = 'https://store.example/b/k?partNumber=1&uploadId=2&X-Amz-Credential=AK&X-Amz-Signature=5ec4e7';

test('only a presigned query is removed from a text', () => {
  assert.equal(withoutSignatures(`PUT ${url} failed: 503`), 'PUT https://store.example/b/k?… failed: 503');
  assert.equal(withoutSignatures('header X-Amz-Security-Token=abc was refused'), 'header ?… was refused');
  for (const text of ['File "/data/what?.bin" does not exist.', 'GET https://example.com/?a=1', '?']) {
    assert.equal(withoutSignatures(text), text);
  }
});

test('a presigned URL in an agent’s report never reaches a record', async () => {
  await using fixture = new DomainFixture(await openSqliteStore(':memory:'));
  const { agent, upload } = await fixture.uploading();
  await stalled(fixture.context, agent.session, stalledMessage(upload, { reason: `No response: ${url}` }));
  const { stalledReason } = await fixture.upload(upload.uploadId);
  await failed(fixture.context, agent.session, failedMessage(upload, 'permission_denied', `Gave up ${url}`));
  const { message } = await fixture.upload(upload.uploadId);
  assert.deepEqual(
    [stalledReason, message],
    ['No response: https://store.example/b/k?…', 'Gave up https://store.example/b/k?…'],
  );
  assert.doesNotMatch(JSON.stringify([fixture.log, agent.connection.frames]), /5ec4e7/);
});
