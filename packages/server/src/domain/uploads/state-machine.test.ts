import assert from 'node:assert/strict';
import { test } from 'node:test';
import { isTerminal, type UploadStatus, uploadStatuses } from '@backhaul/protocol';
import fc from 'fast-check';
import { sampleUpload, sampleUploadIn } from '../../../../../test/harness/server/sample-upload.ts';
import { applyTransition, type Transition } from './state-machine.ts';
import type { Upload } from './upload.ts';

const NOW = Date.UTC(2025, 10, 2);
const FINGERPRINT = { device: '9', inode: '8', size: '7', mtime_ns: '6', ctime_ns: '5' };
const OBJECT = {
  sizeBytes: 12_582_912,
  etag: '"etag"',
  versionId: 'v1',
  token: 'token-1',
  crc32: 'AQIDBA==',
  serverSideEncryption: 'aws:kms',
  storageClass: 'INTELLIGENT_TIERING',
};

type TransitionType = Transition['type'];
type Samples = { readonly [Type in TransitionType]: Extract<Transition, { type: Type }> };

const samples: Samples = {
  prepare: {
    type: 'prepare',
    hostId: null,
    epoch: 4,
    objectToken: 'token-2',
    checksumMode: 'sha256',
    totals: { partsCompleted: 1, bytesUploaded: 100 },
  },
  prepared: {
    type: 'prepared',
    sizeBytes: 100,
    chunkSize: 5_242_880,
    partCount: 1,
    fingerprint: FINGERPRINT,
    sourceModifiedAt: 123,
    s3UploadId: 's3-upload-2',
  },
  progress: { type: 'progress', totals: { partsCompleted: 3, bytesUploaded: 300 }, partRetries: 5 },
  resumed: { type: 'resumed' },
  stall: { type: 'stall', reason: 'The network is down.', nextRetryAt: NOW + 5000 },
  adopt: { type: 'adopt', epoch: 4 },
  interrupt: { type: 'interrupt', during: 'transfer', reason: 'It was cut off.', nextAttemptAt: NOW + 9000 },
  start_over: { type: 'start_over', during: 'transfer', reason: 'It changed.', nextAttemptAt: null },
  parts_sent: {
    type: 'parts_sent',
    totals: { partsCompleted: 3, bytesUploaded: 300 },
    sha256: 'b'.repeat(64),
    uploadDurationMs: 77,
  },
  verified: { type: 'verified', object: OBJECT, crc32: 'AQIDBA==', verification: 'full_object' },
  fail: { type: 'fail', error: 'read_failed', message: 'The disk broke.' },
  cancel: { type: 'cancel', by: 'operator-2' },
  cancel_request: { type: 'cancel_request', by: 'operator-2' },
  cancel_completing: { type: 'cancel_completing', isAborted: true },
  expire: { type: 'expire' },
  prepare_timeout: { type: 'prepare_timeout', timeoutMs: 60_000 },
  retry: { type: 'retry', expiresAt: NOW + 1000 },
  multipart_closed: { type: 'multipart_closed' },
};
const transitionTypes = Object.keys(samples) as TransitionType[];

/** For each transition the statuses it is allowed in, and the resulting status. All others are refused. */
const allowed: { readonly [Type in TransitionType]: Partial<Record<UploadStatus, UploadStatus>> } = {
  prepare: { queued: 'preparing' },
  prepared: { preparing: 'uploading' },
  progress: { uploading: 'uploading' },
  stall: { queued: 'queued', preparing: 'preparing', uploading: 'uploading', completing: 'completing' },
  adopt: { preparing: 'preparing', uploading: 'uploading' },
  resumed: {},
  interrupt: { preparing: 'queued', uploading: 'queued' },
  start_over: { preparing: 'queued', uploading: 'queued' },
  parts_sent: { uploading: 'completing' },
  verified: { completing: 'completed' },
  fail: { queued: 'failed', preparing: 'failed', uploading: 'failed', completing: 'failed' },
  cancel: { queued: 'cancelled', preparing: 'cancelled', uploading: 'cancelled' },
  cancel_request: { completing: 'completing' },
  // Only after cancel_request.
  cancel_completing: {},
  expire: { queued: 'expired', preparing: 'expired', uploading: 'expired' },
  prepare_timeout: { preparing: 'failed' },
  retry: { failed: 'queued', cancelled: 'queued', expired: 'queued' },
  multipart_closed: { failed: 'failed', cancelled: 'cancelled', expired: 'expired' },
};

/** The same transition for an upload that already has parts. */
const interrupted = sampleUploadIn('uploading');
const withParts = (status: UploadStatus): Upload => ({
  ...interrupted,
  status,
  epoch: status === 'queued' ? null : interrupted.epoch,
});

for (const type of transitionTypes) {
  for (const status of uploadStatuses) {
    const target = allowed[type][status];
    test(`${type} from ${status} ${target === undefined ? 'is refused' : `gives ${target}`}`, () => {
      const before = sampleUploadIn(status);
      const after = applyTransition(before, samples[type], NOW);
      assert.equal(after?.status, target);
      if (after === undefined) return;
      assert.equal(after.version, before.version + 1);
      assert.equal(after.updatedAt, NOW);
    });
  }
}

test('an upload with parts is resumed and not prepared, one without is prepared and not resumed', () => {
  for (const status of uploadStatuses) {
    const target = status === 'preparing' ? 'uploading' : undefined;
    assert.equal(applyTransition(withParts(status), samples.resumed, NOW)?.status, target, status);
    assert.equal(applyTransition(withParts(status), samples.prepared, NOW), undefined, status);
  }
  assert.equal(applyTransition(sampleUploadIn('preparing'), samples.resumed, NOW), undefined);
});

for (const type of ['interrupt', 'start_over'] as const) {
  test(`${type} is allowed only in the given stage`, () => {
    const stages = {
      queue: ['queued'],
      transfer: ['preparing', 'uploading'],
      completion: ['completing'],
    } as const;
    for (const [during, statuses] of Object.entries(stages)) {
      const allowedIn = uploadStatuses.filter(
        (status) =>
          applyTransition(
            sampleUploadIn(status),
            { ...samples[type], during: during as keyof typeof stages },
            NOW,
          ) !== undefined,
      );
      assert.deepEqual(allowedIn, statuses);
    }
  });
}

test('a transition does not modify its input', () => {
  for (const type of transitionTypes) {
    for (const status of uploadStatuses) {
      const before = Object.freeze(sampleUploadIn(status));
      const copy = structuredClone(before);
      applyTransition(before, samples[type], NOW);
      assert.deepEqual(before, copy);
    }
  }
});

/** The fields that a transition changed, except version and time of change. */
function changes(before: Upload, transition: Transition): Partial<Upload> {
  const after = applyTransition(before, transition, NOW);
  assert.ok(after !== undefined, `${transition.type} was refused from ${before.status}`);
  const entries = Object.entries(after).filter(
    ([name, value]) =>
      name !== 'version' && name !== 'updatedAt' && !Object.is(value, before[name as keyof Upload]),
  );
  return Object.fromEntries(entries);
}

/** The fields of one attempt, as the next attempt finds them. */
const nothingOfTheLastAttempt = {
  status: 'queued',
  attempt: 2,
  epoch: null,
  sizeBytes: null,
  chunkSize: null,
  partCount: null,
  partsCompleted: 0,
  bytesUploaded: 0,
  partRetries: 0,
  s3UploadId: null,
  multipartOpen: false,
  multipartCreatedAt: null,
  objectToken: null,
  checksumMode: null,
  fingerprint: null,
  sourceModifiedAt: null,
  startedAt: null,
} as const;

test('prepare gives the upload to an epoch, with a token and a checksum mode', () => {
  assert.deepEqual(changes(sampleUpload({ message: 'again' }), samples.prepare), {
    status: 'preparing',
    epoch: 4,
    objectToken: 'token-2',
    checksumMode: 'sha256',
    partsCompleted: 1,
    bytesUploaded: 100,
    startedAt: NOW,
    message: null,
  });
});

test('prepare of an interrupted upload keeps its token, its checksum mode and its multipart upload', () => {
  const queued = applyTransition(sampleUploadIn('uploading'), samples.interrupt, NOW);
  assert.ok(queued !== undefined);
  assert.deepEqual(changes(queued, samples.prepare), {
    status: 'preparing',
    epoch: 4,
    partsCompleted: 1,
    bytesUploaded: 100,
    stalledSince: null,
    stalledReason: null,
    nextAttemptAt: null,
    startedAt: NOW,
    message: null,
  });
});

test('resumed changes only the status', () => {
  assert.deepEqual(changes(withParts('preparing'), samples.resumed), { status: 'uploading' });
});

test('prepared stores the plan, the fingerprint and the multipart upload', () => {
  assert.deepEqual(changes(sampleUploadIn('preparing'), samples.prepared), {
    status: 'uploading',
    sizeBytes: 100,
    chunkSize: 5_242_880,
    partCount: 1,
    fingerprint: FINGERPRINT,
    sourceModifiedAt: 123,
    s3UploadId: 's3-upload-2',
    multipartOpen: true,
    multipartCreatedAt: NOW,
  });
});

/** A stalled upload. */
const stalled: Upload = {
  ...sampleUploadIn('uploading'),
  stalledSince: 1,
  stalledReason: 'The agent is not connected.',
  nextAttemptAt: 2,
};
const movesAgain = { stalledSince: null, stalledReason: null, nextAttemptAt: null };

test('progress stores the totals and ends a stall', () => {
  assert.deepEqual(changes(stalled, samples.progress), {
    partsCompleted: 3,
    bytesUploaded: 300,
    partRetries: 5,
    ...movesAgain,
  });
});

test('only a stored part resets the setbacks', () => {
  const upload: Upload = { ...sampleUploadIn('uploading'), setbacks: 4 };
  const progress = (partsCompleted: number): number | undefined =>
    applyTransition(upload, { ...samples.progress, totals: { partsCompleted, bytesUploaded: 1 } }, NOW)
      ?.setbacks;
  assert.equal(progress(upload.partsCompleted), 4);
  assert.equal(progress(upload.partsCompleted + 1), 0);
});

test('stall keeps the time of the first loss and updates the reason and the next retry', () => {
  assert.deepEqual(changes(sampleUploadIn('uploading'), samples.stall), {
    stalledSince: NOW,
    stalledReason: 'The network is down.',
    nextAttemptAt: NOW + 5000,
  });
  assert.deepEqual(changes(stalled, { type: 'stall', reason: 'Away.', nextRetryAt: null }), {
    stalledReason: 'Away.',
    nextAttemptAt: null,
  });
});

test('adopt moves the upload to a newer epoch and ends a stall', () => {
  assert.deepEqual(changes(stalled, samples.adopt), { epoch: 4, ...movesAgain });
});

test('an upload adopted before it was prepared gets its full time again', () => {
  const preparing = applyTransition(
    sampleUpload({ status: 'preparing', epoch: 1, startedAt: 1 }),
    { type: 'adopt', epoch: 2 },
    5000,
  );
  assert.equal(preparing?.startedAt, 5000);
});

test('adopt by an older epoch is refused', () => {
  const owned: Upload = { ...sampleUploadIn('uploading'), epoch: 5 };
  assert.equal(applyTransition(owned, samples.adopt, NOW), undefined);
});

test('interrupt starts a new attempt with the last one’s multipart upload, the stall’s start and the reason', () => {
  assert.deepEqual(changes(stalled, samples.interrupt), {
    status: 'queued',
    attempt: 2,
    epoch: null,
    startedAt: null,
    setbacks: 1,
    stalledReason: 'It was cut off.',
    nextAttemptAt: NOW + 9000,
    message: 'It was cut off.',
  });
  assert.equal(applyTransition(sampleUploadIn('uploading'), samples.interrupt, NOW)?.stalledSince, NOW);
});

test('interrupt before there is a multipart upload resets the attempt', () => {
  assert.deepEqual(changes(sampleUploadIn('preparing'), samples.interrupt), {
    status: 'queued',
    attempt: 2,
    epoch: null,
    startedAt: null,
    objectToken: null,
    checksumMode: null,
    setbacks: 1,
    stalledSince: NOW,
    stalledReason: 'It was cut off.',
    nextAttemptAt: NOW + 9000,
    message: 'It was cut off.',
  });
});

test('interrupt of a completion counts the refusal and resets the agent’s last figures', () => {
  const completing = sampleUploadIn('completing');
  const { refusedCompletions, sha256, uploadDurationMs } = changes(completing, {
    ...samples.interrupt,
    during: 'completion',
  });
  assert.deepEqual([refusedCompletions, sha256, uploadDurationMs], [1, null, null]);
});

test('start_over starts a new attempt with only the reason of the last one, and counts', () => {
  const completing: Upload = { ...sampleUploadIn('completing'), setbacks: 2, refusedCompletions: 2 };
  assert.deepEqual(changes(completing, { ...samples.start_over, during: 'completion' }), {
    ...nothingOfTheLastAttempt,
    sha256: null,
    uploadDurationMs: null,
    restarts: 1,
    stalledSince: NOW,
    stalledReason: 'It changed.',
    message: 'It changed.',
  });
});

test('parts_sent stores the agent’s last figures, which are not the outcome', () => {
  assert.deepEqual(changes(stalled, samples.parts_sent), {
    status: 'completing',
    partsCompleted: 3,
    bytesUploaded: 300,
    ...movesAgain,
    sha256: 'b'.repeat(64),
    uploadDurationMs: 77,
  });
});

test('verified stores the object’s attributes and closes the multipart upload', () => {
  assert.deepEqual(changes(sampleUploadIn('completing'), samples.verified), {
    status: 'completed',
    completedAt: NOW,
    multipartOpen: false,
    etag: '"etag"',
    versionId: 'v1',
    serverSideEncryption: 'aws:kms',
    storageClass: 'INTELLIGENT_TIERING',
    crc32: 'AQIDBA==',
    verification: 'full_object',
  });
});

test('fail, cancel and expire store the reason and leave the multipart upload open to be aborted', () => {
  const before = stalled;
  const ended = { completedAt: NOW, ...movesAgain };
  assert.deepEqual(changes(before, samples.fail), {
    ...ended,
    status: 'failed',
    error: 'read_failed',
    message: 'The disk broke.',
  });
  assert.deepEqual(changes(before, samples.cancel), {
    ...ended,
    status: 'cancelled',
    error: 'cancelled',
    message: 'Cancelled by operator-2.',
  });
  assert.deepEqual(changes(before, samples.expire), {
    ...ended,
    status: 'expired',
    error: 'upload_expired',
    message: 'The transfer was at 2 of 3 parts at the deadline. Last: The agent is not connected.',
  });
});

test('a completing upload is neither cancelled nor expired', () => {
  const completing = sampleUploadIn('completing');
  assert.equal(applyTransition(completing, samples.cancel, NOW), undefined);
  assert.equal(applyTransition(completing, samples.expire, NOW), undefined);
});

test('an empty file that does not complete may still have an object, which is checked later', () => {
  const empty: Upload = {
    ...sampleUploadIn('completing'),
    sizeBytes: 0,
    s3UploadId: null,
    multipartOpen: false,
  };
  const failed = applyTransition(empty, samples.fail, NOW);
  const pending = applyTransition(empty, samples.cancel_request, NOW) ?? empty;
  const cancelled = applyTransition(pending, { type: 'cancel_completing', isAborted: true }, NOW);
  const verified = applyTransition(empty, samples.verified, NOW);
  assert.deepEqual(
    [failed, cancelled, verified].map((upload) => upload?.multipartOpen),
    [true, true, false],
  );
});

test('a cancel of a completing upload is stored and prevents requeueing', () => {
  const pending = applyTransition(sampleUploadIn('completing'), samples.cancel_request, NOW);
  assert.ok(pending !== undefined);
  assert.deepEqual([pending.cancelRequestedBy, pending.cancelRequestedAt], ['operator-2', NOW]);
  assert.match(pending.message ?? '', /cancel by operator-2 is pending/);
  assert.equal(applyTransition(pending, samples.cancel_request, NOW), undefined, 'once');
  for (const type of ['interrupt', 'start_over'] as const) {
    assert.equal(applyTransition(pending, { ...samples[type], during: 'completion' }, NOW), undefined);
  }
  for (const [isAborted, multipartOpen] of [
    [true, false],
    [false, true],
  ] as const) {
    const ended = applyTransition(pending, { type: 'cancel_completing', isAborted }, NOW);
    assert.deepEqual(
      [ended?.status, ended?.message, ended?.multipartOpen, ended?.cancelRequestedAt],
      ['cancelled', 'Cancelled by operator-2.', multipartOpen, null],
    );
  }
  const verified = applyTransition(pending, samples.verified, NOW);
  assert.deepEqual(
    [verified?.status, verified?.error, verified?.cancelRequestedBy],
    ['completed', null, null],
  );
  assert.match(verified?.message ?? '', /cancel by operator-2 came too late/);
});

test('an upload does not expire before its deadline', () => {
  const upload = sampleUpload({ expiresAt: NOW + 1 });
  assert.equal(applyTransition(upload, samples.expire, NOW), undefined);
  assert.notEqual(applyTransition(upload, samples.expire, NOW + 1), undefined);
});

test('an agent has its full time to prepare, and no deadline while it is disconnected', () => {
  const upload = { ...sampleUploadIn('preparing'), startedAt: NOW };
  const at = (now: number): Upload | undefined => applyTransition(upload, samples.prepare_timeout, now);
  assert.equal(at(NOW + 60_000), undefined);
  assert.equal(at(NOW + 60_001)?.error, 'agent_fault');
  const stalled = { ...upload, stalledSince: NOW };
  assert.equal(applyTransition(stalled, samples.prepare_timeout, NOW + 60_001), undefined);
});

test('an expired upload that never started says that the agent was offline', () => {
  assert.match(changes(sampleUpload(), samples.expire).message ?? '', /did not connect/);
});

test('retry starts a new attempt with a new deadline, no error and reset counters', () => {
  const given = { setbacks: 3, restarts: 5, refusedCompletions: 3 };
  assert.deepEqual(changes({ ...sampleUploadIn('failed'), ...given }, samples.retry), {
    setbacks: 0,
    restarts: 0,
    refusedCompletions: 0,
    ...nothingOfTheLastAttempt,
    error: null,
    message: null,
    completedAt: null,
    expiresAt: NOW + 1000,
  });
});

test('multipart_closed is refused when nothing is open', () => {
  const closed: Upload = { ...sampleUploadIn('failed'), multipartOpen: false };
  assert.equal(applyTransition(closed, samples.multipart_closed, NOW), undefined);
  assert.deepEqual(changes(sampleUploadIn('failed'), samples.multipart_closed), { multipartOpen: false });
});

const anyEpoch = fc.integer({ min: 1, max: 6 });
const anyStage = fc.constantFrom('queue', 'transfer', 'completion');
const anyTransition: fc.Arbitrary<Transition> = fc.oneof(
  ...transitionTypes.map((type) => fc.constant<Transition>(samples[type])),
  anyEpoch.map((epoch): Transition => ({ ...samples.adopt, epoch })),
  anyEpoch.map((epoch): Transition => ({ ...samples.prepare, epoch })),
  anyStage.map((during): Transition => ({ ...samples.interrupt, during })),
  anyStage.map((during): Transition => ({ ...samples.start_over, during })),
);

/** The transitions that lead to success; a random walk hardly ever gets there. */
function forward({ status, s3UploadId }: Upload): Transition {
  switch (status) {
    case 'queued':
      return samples.prepare;
    case 'preparing':
      return s3UploadId === null ? samples.prepared : samples.resumed;
    case 'uploading':
      return samples.parts_sent;
    case 'completing':
      return samples.verified;
    case 'completed':
    case 'failed':
    case 'cancelled':
    case 'expired':
      return samples.progress;
  }
  return status satisfies never;
}
const anyStep = fc.oneof(anyTransition, fc.constant('forward' as const));

/** Invariants between an upload and the result of a transition, whatever came before. */
function checkStep(before: Upload, { type }: Transition, after: Upload): void {
  assert.notEqual(before.status, 'completed', 'a completed upload changed');
  assert.equal(after.version, before.version + 1);
  const isNewAttempt = type === 'interrupt' || type === 'start_over' || type === 'retry';
  assert.equal(after.attempt, before.attempt + (isNewAttempt ? 1 : 0));
  if (isTerminal(before.status)) assert.ok(type === 'retry' || type === 'multipart_closed');
  if (before.status === 'completing') {
    const isRecovery = type === 'interrupt' || type === 'start_over';
    const isOver = after.status === 'completed' || after.status === 'failed' || isRecovery;
    const isCancel = type === 'cancel_request' || type === 'cancel_completing';
    assert.ok(isOver || isCancel || type === 'stall');
    assert.equal(isCancel && after.status === 'completing', type === 'cancel_request');
    if (before.cancelRequestedBy !== null) assert.ok(!isRecovery, 'it is not requeued');
  }
  // The identity and content of a multipart upload are known as long as it exists.
  if (before.s3UploadId !== null && type !== 'start_over' && type !== 'retry') {
    for (const ofTheMultipart of ['s3UploadId', 'objectToken', 'checksumMode', 'fingerprint'] as const) {
      assert.deepEqual(after[ofTheMultipart], before[ofTheMultipart]);
    }
  }
  for (const fixed of [
    'uploadId',
    'clientId',
    'filePath',
    'fileName',
    'key',
    'onChange',
    'createdAt',
    'requestedBy',
    'idempotencyKey',
  ] as const) {
    assert.equal(after[fixed], before[fixed]);
  }
  if (type !== 'retry') assert.ok(after.restarts >= before.restarts, 'a restart was forgotten');
  if (!isNewAttempt && before.epoch !== null)
    assert.ok((after.epoch ?? 0) >= before.epoch, 'the epoch shrank');
}

/** Invariants of every upload at any time. */
function checkState(upload: Upload): void {
  const { status } = upload;
  const hasBegun = status === 'uploading' || status === 'completing' || status === 'completed';
  if (hasBegun) assert.notEqual(upload.s3UploadId, null);
  // All of these together, so that the next attempt has everything it needs.
  if (upload.s3UploadId !== null) {
    assert.ok(upload.objectToken !== null && upload.checksumMode !== null && upload.fingerprint !== null);
    assert.ok(upload.sizeBytes !== null && upload.chunkSize !== null && upload.partCount !== null);
    assert.equal(upload.multipartOpen || isTerminal(status), true, 'a sweep would not find it');
  } else {
    assert.equal(upload.fingerprint, null);
    assert.equal(upload.sizeBytes, null);
  }
  assert.equal(upload.completedAt !== null, isTerminal(status));
  assert.equal(
    upload.error !== null,
    isTerminal(status) && status !== 'completed',
    'an ended upload has a reason',
  );
  // For an empty file it is the object that may exist.
  if (upload.multipartOpen && upload.sizeBytes !== 0) assert.notEqual(upload.s3UploadId, null);
  if (status === 'queued') {
    assert.ok(upload.epoch === null && upload.startedAt === null && upload.sha256 === null);
    if (upload.s3UploadId === null) assert.equal(upload.objectToken, null);
  }
  if (status === 'completed') assert.ok(upload.verification !== null && !upload.multipartOpen);
  else assert.equal(upload.etag, null);
  assert.equal(upload.stalledReason !== null, upload.stalledSince !== null, 'start and reason go together');
  if (upload.stalledSince !== null) assert.ok(!isTerminal(status));
  assert.equal(upload.cancelRequestedAt !== null, upload.cancelRequestedBy !== null);
  if (upload.cancelRequestedBy !== null) assert.equal(status, 'completing');
  if (upload.nextAttemptAt !== null) assert.notEqual(upload.stalledSince, null);
}

test('no sequence of transitions breaks the invariants of an upload', (t) => {
  const seen = new Set<UploadStatus>();
  let resumedToTheEnd = 0;
  const seed = Date.now() % 2 ** 31;
  t.diagnostic(`seed ${seed}`);
  fc.assert(
    fc.property(fc.array(anyStep, { minLength: 1, maxLength: 60 }), (sequence) => {
      let upload = sampleUpload();
      let hadParts = false;
      for (const [step, choice] of sequence.entries()) {
        const transition = choice === 'forward' ? forward(upload) : choice;
        const after = applyTransition(upload, transition, NOW + step);
        seen.add(upload.status);
        if (after === undefined) continue;
        checkStep(upload, transition, after);
        checkState(after);
        if (after.status === 'queued') hadParts = after.s3UploadId !== null;
        if (hadParts && transition.type === 'verified') resumedToTheEnd += 1;
        upload = after;
      }
    }),
    { seed, numRuns: 2000 },
  );
  assert.deepEqual([...seen].sort(), [...uploadStatuses].sort(), 'every status was reached');
  assert.ok(resumedToTheEnd > 0, 'no interrupted upload was resumed to its end');
});
