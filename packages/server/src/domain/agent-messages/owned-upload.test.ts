import assert from 'node:assert/strict';
import { test } from 'node:test';
import { v7 as uuidv7 } from 'uuid';
import { openSqliteStore } from '../../store/open-sqlite-store.ts';
import { DomainBench } from '../fakes/domain-bench.ts';
import {
  announce,
  completedMessage,
  failedMessage,
  FILE_BYTES,
  partUploadedMessage,
  partsReadyMessage,
  preparedMessage,
  resumedMessage,
  sayHello,
  stalledMessage,
} from '../fakes/fake-agent.ts';
import type { AgentSession } from '../sessions/agent-session.ts';
import type { TransferContext } from '../transfer-context.ts';
import { completed } from './completed.ts';
import { failed } from './failed.ts';
import { partUploaded } from './part-uploaded.ts';
import { partsReady } from './parts-ready.ts';
import { prepared } from './prepared.ts';
import { resumed } from './resumed.ts';
import { stalled } from './stalled.ts';

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

async function openBench(): Promise<DomainBench> {
  return new DomainBench(await openSqliteStore(':memory:'));
}

for (const [name, say] of Object.entries(messages)) {
  test(`${name} of an older epoch changes nothing`, async () => {
    await using bench = await openBench();
    const { agent, upload } = await bench.uploading();
    await bench.connect('client-1', { running: [{ upload_id: upload.uploadId, attempt: 1 }] });
    const before = await bench.upload(upload.uploadId);
    const frames = agent.connection.frames.length;
    await say(bench.context, agent.session, upload);
    assert.deepEqual(await bench.upload(upload.uploadId), before);
    assert.equal(agent.connection.frames.length, frames);
  });

  test(`${name} of another attempt changes nothing, and the agent is told to stop it`, async () => {
    await using bench = await openBench();
    const { agent, upload } = await bench.uploading();
    const before = await bench.upload(upload.uploadId);
    await say(bench.context, agent.session, { ...upload, attempt: 2 });
    assert.deepEqual(await bench.upload(upload.uploadId), before);
    const [told] = agent.connection.sent('cancel_upload');
    assert.equal(told?.attempt, 2);
  });

  test(`${name} of another client changes nothing and tells nothing`, async () => {
    await using bench = await openBench();
    const { upload } = await bench.uploading();
    const before = await bench.upload(upload.uploadId);
    const { connection, session } = await sayHello(bench.context, 'client-2');
    assert.ok(session !== undefined);
    const forged: AgentSession = { ...session, epoch: upload.epoch ?? 0 };
    const frames = connection.frames.length;
    await say(bench.context, forged, upload);
    await say(bench.context, forged, { uploadId: uuidv7(), attempt: 1 });
    assert.deepEqual(await bench.upload(upload.uploadId), before);
    assert.equal(connection.frames.length, frames, 'an upload of another client is like none');
  });

  test(`${name} about an upload that has ended changes nothing, and the agent is told to stop it`, async () => {
    await using bench = await openBench();
    const { agent, upload } = await bench.uploading();
    await bench.domain.uploads.cancel(upload.uploadId, 'operator-1');
    const before = await bench.upload(upload.uploadId);
    await say(bench.context, agent.session, upload);
    assert.deepEqual(await bench.upload(upload.uploadId), before);
    const told = agent.connection.sent('cancel_upload');
    assert.equal(told.length, 2, 'once at the cancel, once now');
    assert.match(told[1]?.reason ?? '', /attempt 1 is over/);
  });

  test(`${name} while the upload is completing changes nothing`, async () => {
    await using bench = await openBench();
    const release = bench.bucket.hold('completeMultipartUpload');
    const { agent, upload } = await bench.completing();
    const before = await bench.upload(upload.uploadId);
    assert.equal(before.status, 'completing');
    await say(bench.context, agent.session, upload);
    assert.deepEqual(await bench.upload(upload.uploadId), before);
    assert.equal(bench.bucket.count('abortMultipartUpload'), 0);
    release();
    await bench.reaches(upload.uploadId, 'completed');
  });

  test(`${name} of an upload that is still queued changes nothing`, async () => {
    await using bench = await openBench();
    bench.bucket.fail('capabilities', 'unavailable', { times: 10 });
    const agent = await bench.connect();
    const upload = await bench.trigger();
    await bench.settle();
    const before = await bench.upload(upload.uploadId);
    assert.equal(before.status, 'queued');
    await say(bench.context, agent.session, upload);
    assert.deepEqual(await bench.upload(upload.uploadId), before);
  });
}
