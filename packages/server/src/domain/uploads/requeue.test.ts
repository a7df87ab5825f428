import assert from 'node:assert/strict';
import { test } from 'node:test';
import { changePolicySchema, errorCodes } from '@backhaul/protocol';
import { openSqliteStore } from '../../store/open-sqlite-store.ts';
import { prepared } from '../agents/handlers/prepared.ts';
import { DomainFixture, type FixtureOptions } from '../../../../../test/harness/server/domain-fixture.ts';
import { preparedMessage } from '../../../../../test/doubles/fake-agent.ts';
import { intercepted } from '../../../../../test/doubles/intercepted.ts';
import type { Store } from '../ports/store.ts';
import { endSession } from '../agents/handlers/hello.ts';
import { MAX_RESTARTS, MAX_UNREADABLE, pauseBeforeNext, remedyFor } from './requeue.ts';
import type { Upload } from './upload.ts';

const upload = { onChange: 'fail', restarts: 0, setbacks: 0 } as const;
const policies = changePolicySchema.options;
const least = () => 0;
const most = () => 1 - Number.EPSILON;

test('an outage of the store interrupts under every policy, any number of times', () => {
  for (const error of ['storage_unavailable', 'upload_expired'] as const) {
    for (const onChange of policies) {
      for (const restarts of [0, MAX_RESTARTS, 100]) {
        const { act } = remedyFor({ onChange, restarts, setbacks: 1000 }, error, least);
        assert.equal(act, 'interrupt');
      }
    }
  }
});

test('a changed file starts over only if the policy says so, a limited number of times', () => {
  for (const onChange of policies) {
    for (let restarts = 0; restarts <= MAX_RESTARTS + 1; restarts += 1) {
      const { act } = remedyFor({ ...upload, onChange, restarts }, 'file_changed', least);
      assert.equal(act, onChange === 'restart' && restarts < MAX_RESTARTS ? 'start_over' : 'fail');
    }
  }
});

test('a lost multipart upload starts over under every policy, a limited number of times', () => {
  for (const onChange of policies) {
    for (let restarts = 0; restarts <= MAX_RESTARTS + 1; restarts += 1) {
      const { act } = remedyFor({ ...upload, onChange, restarts }, 'upload_gone', least);
      assert.equal(act, restarts < MAX_RESTARTS ? 'start_over' : 'fail');
    }
  }
});

test('an unreadable file is retried with its stored parts, a limited number of times', () => {
  const acts = Array.from(
    { length: MAX_UNREADABLE + 1 },
    (_, setbacks) => remedyFor({ ...upload, setbacks }, 'read_failed', least).act,
  );
  assert.deepEqual(acts, [...Array<string>(MAX_UNREADABLE - 1).fill('interrupt'), 'fail', 'fail']);
});

test('every other error fails, because another attempt would fail the same way', () => {
  const others = errorCodes.filter(
    (code) =>
      !['storage_unavailable', 'upload_expired', 'read_failed', 'file_changed', 'upload_gone'].includes(code),
  );
  assert.ok(others.length > 20);
  for (const code of others) {
    assert.deepEqual(remedyFor({ ...upload, onChange: 'restart' }, code, least), { act: 'fail' }, code);
  }
});

/** Delays of consecutive failures, with the least and the most jitter. */
function waits(waitAfter: (failures: number, random: () => number) => number | null): (number | null)[][] {
  return [0, 1, 2, 3, 10, 10_000].map((failures) => [waitAfter(failures, least), waitAfter(failures, most)]);
}

test('the delay after an outage doubles from 15 s to 10 min, half of it random', () => {
  const expected = [
    [7500, 15_000],
    [15_000, 30_000],
    [30_000, 60_000],
    [60_000, 120_000],
    [300_000, 600_000],
    [300_000, 600_000],
  ];
  const waitAfter = (setbacks: number, random: () => number): number | null => {
    const remedy = remedyFor({ ...upload, setbacks }, 'storage_unavailable', random);
    return remedy.act === 'interrupt' ? remedy.waitMs : null;
  };
  assert.deepEqual(waits(waitAfter), expected);
});

test('the delay before a restart doubles from one second', () => {
  for (const [error, onChange] of [
    ['upload_gone', 'fail'],
    ['file_changed', 'restart'],
  ] as const) {
    const waited = [0, 1, 4].map((restarts) => {
      const remedy = remedyFor({ onChange, restarts, setbacks: 99 }, error, most);
      return remedy.act === 'start_over' ? remedy.waitMs : null;
    });
    assert.deepEqual(waited, [1000, 2000, 16_000]);
  }
});

test('after the first interruption the next attempt starts immediately, later after a growing delay', () => {
  assert.deepEqual(waits(pauseBeforeNext), [
    [null, null],
    [500, 1000],
    [1000, 2000],
    [2000, 4000],
    [30_000, 60_000],
    [30_000, 60_000],
  ]);
});

async function openFixture(options: FixtureOptions = {}): Promise<DomainFixture> {
  return new DomainFixture(await openSqliteStore(':memory:'), options);
}

const HOUR_MS = 3_600_000;
const outage = { error: 'storage_unavailable', message: 'The store does not respond.' } as const;
const lost = { error: 'upload_gone', message: 'There is no such upload.' } as const;

test('an outage requeues the upload with its parts; the record has the reason and the time of the retry', async () => {
  await using fixture = await openFixture();
  const { agent, upload } = await fixture.uploading();
  await fixture.context.recovery.handleFailure(upload, outage);
  const record = await fixture.upload(upload.uploadId);
  assert.deepEqual(
    [record.status, record.attempt, record.epoch, record.s3UploadId, record.objectToken],
    ['queued', 2, null, upload.s3UploadId, upload.objectToken],
  );
  // The middle of 7.5 and 15 s.
  assert.equal(record.nextAttemptAt, fixture.clock.now() + 11_250);
  assert.deepEqual([record.stalledSince, record.stalledReason], [fixture.clock.now(), outage.message]);
  assert.equal((await fixture.store.listParts(upload.uploadId)).length, 3);
  assert.equal(fixture.bucket.count('abortMultipartUpload'), 0);
  assert.deepEqual(
    agent.connection.sent('cancel_upload').map(({ attempt, reason }) => ({ attempt, reason })),
    [{ attempt: 1, reason: outage.message }],
    'the agent may close the file',
  );
});

test('after a lost multipart upload the next attempt starts from scratch, and possible leftovers are aborted', async () => {
  await using fixture = await openFixture();
  const { upload } = await fixture.uploading();
  await fixture.context.recovery.handleFailure(upload, lost);
  const record = await fixture.upload(upload.uploadId);
  assert.deepEqual(
    [record.status, record.attempt, record.restarts, record.s3UploadId, record.multipartOpen],
    ['queued', 2, 1, null, false],
  );
  assert.equal(record.nextAttemptAt, fixture.clock.now() + 750);
  assert.deepEqual(await fixture.store.listParts(upload.uploadId), []);
  await fixture.until(() => fixture.bucket.aborted.length === 1, 'the abort');
  assert.deepEqual(fixture.bucket.aborted, [upload.s3UploadId]);
});

test('an upload restarted too often fails and says how often', async () => {
  await using fixture = await openFixture();
  const { upload } = await fixture.uploading();
  await fixture.context.recovery.handleFailure({ ...upload, restarts: MAX_RESTARTS }, lost);
  const record = await fixture.upload(upload.uploadId);
  assert.deepEqual([record.status, record.error], ['failed', 'upload_gone']);
  assert.match(record.message ?? '', /^There is no such upload\. .* Restarted 5 times\.$/);
  assert.deepEqual(fixture.bucket.aborted, [upload.s3UploadId]);
});

test('a multipart upload lost twice at about the same age is not restarted again, and the message says what to set', async () => {
  await using fixture = await openFixture();
  const { agent, upload } = await fixture.uploading();
  fixture.clock.advance(25 * HOUR_MS);
  await fixture.context.recovery.handleFailure(upload, lost);
  const first = await fixture.upload(upload.uploadId);
  assert.deepEqual([first.status, first.lostAfterMs], ['queued', 25 * HOUR_MS]);
  assert.match(
    first.stalledReason ?? '',
    /created 25\.0 hours earlier.*stale_uploads_expiry.*AbortIncomplete/,
  );
  fixture.clock.advance(1000);
  fixture.context.dispatcher.schedule('client-1');
  const again = await fixture.reaches(upload.uploadId, 'preparing');
  await prepared(fixture.context, agent.session, preparedMessage(again));
  fixture.clock.advance(29 * HOUR_MS);
  await fixture.context.recovery.handleFailure(await fixture.upload(upload.uploadId), lost);
  const record = await fixture.upload(upload.uploadId);
  assert.deepEqual([record.status, record.error, record.restarts], ['failed', 'upload_gone', 1]);
  assert.match(record.message ?? '', /created 29\.0 hours earlier.*longer than the transfer takes/);
});

for (const [name, ages] of [
  ['young', [60_000, 60_000]],
  ['of very different ages', [25 * HOUR_MS, 2 * HOUR_MS]],
] as const) {
  test(`multipart uploads lost ${name} are not an age limit of the store: the upload restarts`, async () => {
    await using fixture = await openFixture();
    const { agent, upload } = await fixture.uploading();
    for (const [index, age] of ages.entries()) {
      fixture.clock.advance(age);
      await fixture.context.recovery.handleFailure(await fixture.upload(upload.uploadId), lost);
      assert.equal((await fixture.upload(upload.uploadId)).restarts, index + 1);
      fixture.clock.advance(60_000);
      fixture.context.dispatcher.schedule('client-1');
      const again = await fixture.reaches(upload.uploadId, 'preparing');
      await prepared(fixture.context, agent.session, preparedMessage(again));
    }
  });
}

for (const [what, failure] of [
  ['an interruption', outage],
  ['a restart', lost],
] as const) {
  test(`${what} that comes too late is ignored: no abort, no message, no attempt`, async () => {
    await using fixture = await openFixture();
    const release = fixture.bucket.hold('completeMultipartUpload');
    const { agent, upload } = await fixture.completing();
    const completing = await fixture.upload(upload.uploadId);
    // With the earlier row and with the current one: only the completion's own task may end it.
    for (const seen of [upload, completing]) await fixture.context.recovery.handleFailure(seen, failure);
    assert.deepEqual(await fixture.upload(upload.uploadId), completing);
    assert.equal(fixture.bucket.count('abortMultipartUpload'), 0);
    assert.deepEqual(agent.connection.sent('cancel_upload'), []);
    release();
    await fixture.reaches(upload.uploadId, 'completed');
    await fixture.context.recovery.handleFailure(
      await fixture.upload(upload.uploadId),
      failure,
      'completion',
    );
    assert.equal((await fixture.upload(upload.uploadId)).status, 'completed');
    assert.equal(fixture.bucket.objects.size, 1);
  });
}

test('a restart that lost its guard aborts nothing', async () => {
  const race = { on: false };
  const real = await openSqliteStore(':memory:');
  const store = intercepted<Store>(real, {
    saveUpload: async (upload, save) => (race.on ? false : real.saveUpload(upload, save)),
  });
  await using fixture = new DomainFixture(store);
  const { upload } = await fixture.uploading();
  race.on = true;
  assert.equal(await fixture.context.recovery.startOver(upload, { reason: 'It changed.' }), undefined);
  await fixture.idle();
  assert.equal(fixture.bucket.count('abortMultipartUpload'), 0);
  assert.equal((await fixture.store.listParts(upload.uploadId)).length, 3);
});

test('an agent that cannot resume and crashes on the same upload each time gets it less and less often', async () => {
  await using fixture = await openFixture();
  const { agent, upload } = await fixture.uploading();
  const waits: number[] = [];
  let last = agent;
  for (let restart = 1; restart <= 4; restart += 1) {
    await endSession(fixture.context, last.session);
    last = await fixture.connect('client-1', { capabilities: [] });
    await fixture.idle();
    const { nextAttemptAt, restarts } = await fixture.upload(upload.uploadId);
    assert.equal(restarts, restart);
    waits.push(nextAttemptAt === null ? 0 : nextAttemptAt - fixture.clock.now());
    fixture.clock.advance(waits.at(-1) ?? 0);
    fixture.context.dispatcher.schedule('client-1');
    await fixture.reaches(upload.uploadId, 'preparing');
  }
  assert.deepEqual(waits, [0, 750, 1500, 3000]);
});

test('the slot of an interrupted upload goes to the next in the queue', async () => {
  await using fixture = await openFixture();
  const agent = await fixture.connect('client-1', { maxUploads: 1 });
  const first = await fixture.trigger('/data/1');
  const second = await fixture.trigger('/data/2');
  const upload = await fixture.reaches(first.uploadId, 'preparing');
  assert.equal((await fixture.upload(second.uploadId)).status, 'queued');
  await fixture.context.recovery.handleFailure(upload, outage);
  await fixture.reaches(second.uploadId, 'preparing');
  assert.equal(agent.connection.sent('prepare_upload').length, 2);
});

test('a multipart upload whose failed abort is no longer recorded is found by the sweep for orphans', async () => {
  await using fixture = await openFixture();
  const { upload } = await fixture.uploading();
  fixture.bucket.fail('abortMultipartUpload', 'unavailable');
  await fixture.context.recovery.handleFailure(upload, lost);
  await fixture.until(() => fixture.bucket.faultsFired === 1, 'the abort that fails');
  assert.equal(fixture.bucket.uploads.size, 1);
  fixture.clock.advance(3_600_000);
  await fixture.sweep();
  await fixture.until(() => fixture.bucket.aborted.includes(upload.s3UploadId ?? ''), 'the abort');
});

test('the multipart upload of a queued upload is not an orphan, however old', async () => {
  await using fixture = await openFixture();
  const queued = await fixture.interrupted();
  fixture.clock.advance(20 * 3_600_000);
  await fixture.sweep();
  assert.equal(fixture.bucket.count('listMultipartUploads'), 1);
  assert.equal(fixture.bucket.count('abortMultipartUpload'), 0);
  fixture.clock.advance(4 * 3_600_000);
  await fixture.sweep();
  const record: Upload = await fixture.upload(queued.uploadId);
  assert.equal(record.status, 'expired');
  assert.match(record.message ?? '', /Last: The agent was restarted\./);
  assert.deepEqual(fixture.bucket.aborted, [queued.s3UploadId]);
  assert.equal(record.multipartOpen, false);
});
