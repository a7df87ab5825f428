import {
  type ChecksumMode,
  type ErrorCode,
  type Verification,
  partRange,
  planParts,
} from '@backhaul/protocol';
import { type Bucket, BucketError, type ObjectFacts } from '../ports/bucket.ts';
import type { Clock } from '../ports/clock.ts';
import type { Log } from '../ports/log.ts';
import { type Store, StoreError } from '../ports/store.ts';
import { Semaphore } from '../semaphore.ts';
import { planRule } from '../upload-settings.ts';
import { storeAway } from './attempt-failure.ts';
import type { AttemptRecovery } from './attempt-recovery.ts';
import { combineCrc32 } from './combine-crc32.ts';
import type { ClockWatch } from './clock-watch.ts';
import type { StorePatience } from './store-patience.ts';
import type { UploadEnding } from './upload-ending.ts';
import type { UploadLedger } from './upload-ledger.ts';
import type { Upload, UploadPart } from './upload.ts';

/** After an outage many wait; they must not all come upon the store at once. */
const MAX_AT_ONCE = 16;
/** A store that so often refuses parts it has acknowledged has a fault that sending them again does not mend. */
const MAX_REFUSED_COMPLETIONS = 3;
const RESEND_WAIT_MS = 1000;
/** Of no bytes, base64. */
const EMPTY_CRC32 = 'AAAAAA==';
/** A store that takes many parts takes its time. Once its upload is to be cancelled, it gets no more than this. */
const COMPLETE_AFTER_CANCEL_MS = 15_000;

interface Finding {
  readonly error: ErrorCode;
  readonly message: string;
}

/** What the object has to be like. */
interface Proof {
  readonly sizeBytes: number;
  readonly checksumMode: ChecksumMode;
  /** Base64, combined from the parts. */
  readonly crc32: string;
}

/** One upload that is being completed. */
interface Run {
  done: Promise<void>;
  /** Ends the wait between two tries. */
  wake: AbortController;
  /** Ends the wait for an answer to Complete. */
  readonly cut: AbortController;
}

/**
 * Turns `completing` into `completed`, a named failure or, if that was asked for meanwhile, `cancelled`. `completing` is durable before S3 is asked, and every
 * doubt (a lost answer, a vanished multipart upload, something already at the key) is settled by a HEAD: the
 * object is ours only if it carries this attempt's token. Hence it may run again after any crash.
 *
 * Once it is to be cancelled, Complete is not sent again. It is cancelled if no Complete of before has taken effect, and
 * none can any more because the multipart upload was aborted.
 */
export class Completion {
  readonly #store: Store;
  readonly #ledger: UploadLedger;
  readonly #bucket: Bucket;
  readonly #ending: UploadEnding;
  readonly #recovery: AttemptRecovery;
  readonly #patience: StorePatience;
  readonly #clock: Clock;
  readonly #clockWatch: ClockWatch;
  readonly #log: Log;
  readonly #maxBackoffMs: number;
  readonly #sleep: (ms: number, signal: AbortSignal) => Promise<void>;
  readonly #random: () => number;
  readonly #stop = new AbortController();
  readonly #running = new Map<string, Run>();
  readonly #places = new Semaphore(MAX_AT_ONCE);

  constructor(parts: {
    store: Store;
    ledger: UploadLedger;
    bucket: Bucket;
    ending: UploadEnding;
    recovery: AttemptRecovery;
    patience: StorePatience;
    clock: Clock;
    clockWatch: ClockWatch;
    log: Log;
    maxBackoffMs: number;
    /** Rejects when the signal aborts. */
    sleep: (ms: number, signal: AbortSignal) => Promise<void>;
    /** In [0, 1); for jitter. */
    random: () => number;
  }) {
    this.#store = parts.store;
    this.#ledger = parts.ledger;
    this.#bucket = parts.bucket;
    this.#ending = parts.ending;
    this.#recovery = parts.recovery;
    this.#patience = parts.patience;
    this.#clock = parts.clock;
    this.#clockWatch = parts.clockWatch;
    this.#log = parts.log;
    this.#maxBackoffMs = parts.maxBackoffMs;
    this.#sleep = parts.sleep;
    this.#random = parts.random;
  }

  /** Starts it in the background, once per upload. */
  start(uploadId: string): void {
    if (this.#running.has(uploadId) || this.#stop.signal.aborted) return;
    const run: Run = {
      done: Promise.resolve(),
      wake: new AbortController(),
      cut: new AbortController(),
    };
    this.#running.set(uploadId, run);
    run.done = this.#run(uploadId, run)
      .catch((error: unknown) => {
        if (this.#stop.signal.aborted) return;
        // The row still says `completing`; the sweeper starts it again.
        this.#log.error({ uploadId, err: error }, 'completion interrupted');
      })
      .finally(() => {
        this.#running.delete(uploadId);
        this.#patience.forget(uploadId);
      });
  }

  /** An upload that is to be cancelled does not wait for its next try. */
  wake(uploadId: string): void {
    this.#running.get(uploadId)?.wake.abort();
  }

  /** An upload that is to be cancelled does not wait for long any more for a store that owes an answer. */
  cutShort(uploadId: string): void {
    const run = this.#running.get(uploadId);
    if (run === undefined) return;
    void this.#sleep(COMPLETE_AFTER_CANCEL_MS, this.#stop.signal).then(
      () => run.cut.abort(),
      () => undefined,
    );
  }

  /** Stops waiting and calling; what is `completing` goes on at the next start. */
  async close(): Promise<void> {
    this.#stop.abort();
    await Promise.all([...this.#running.values()].map(({ done }) => done));
  }

  async #run(uploadId: string, run: Run): Promise<void> {
    for (let tries = 0; ; tries += 1) {
      // Whoever waits for the next try leaves its place to others.
      const obstacle = await this.#places.run(() => this.#try(uploadId, tries, run));
      if (obstacle === undefined) return;
      const ceiling = Math.min(this.#maxBackoffMs, 500 * 2 ** Math.min(tries, 16));
      const waitMs = this.#random() * ceiling;
      await this.#sayWhy(uploadId, storeAway(obstacle), waitMs);
      await this.#pause(run, waitMs);
    }
  }

  async #pause(run: Run, waitMs: number): Promise<void> {
    try {
      await this.#sleep(waitMs, AbortSignal.any([this.#stop.signal, run.wake.signal]));
    } catch (error) {
      this.#stop.signal.throwIfAborted();
      if (!run.wake.signal.aborted) throw error;
      run.wake = new AbortController();
    }
  }

  async #sayWhy(uploadId: string, reason: string, waitMs: number): Promise<void> {
    const nextRetryAt = Math.round(this.#clock.now() + waitMs);
    await this.#ledger.exclusively(uploadId, async () => {
      const upload = await this.#store.getUpload(uploadId);
      if (upload?.status !== 'completing') return;
      await this.#ledger.apply(upload, { type: 'stall', reason, nextRetryAt });
    });
  }

  /** @returns what is in the way for now; undefined once there is nothing left to try. */
  async #try(uploadId: string, tries: number, run: Run): Promise<BucketError | undefined> {
    this.#stop.signal.throwIfAborted();
    await this.#clockWatch.look();
    const upload = await this.#store.getUpload(uploadId);
    if (upload?.status !== 'completing') return undefined;
    try {
      if (upload.cancelRequestedBy === null) await this.#settle(upload, run);
      else await this.#settleCancelled(upload);
    } catch (error) {
      // A call that close() cut short says nothing of the store.
      this.#stop.signal.throwIfAborted();
      const isTransient = error instanceof BucketError && error.kind === 'unavailable';
      if (isTransient && this.#clock.now() <= upload.expiresAt) {
        this.#log.warn({ uploadId, tries, err: error }, 'object store unavailable while completing');
        return error;
      }
      if (upload.cancelRequestedBy !== null && error instanceof BucketError) {
        // What a Complete may have made is removed with the multipart upload, as soon as the store lets that be done.
        await this.#ending.end(uploadId, { type: 'cancel_completing', isAborted: false });
      } else {
        await this.#fail(upload, this.#explain(error, upload));
      }
    }
    return this.#unlessCancelled(uploadId);
  }

  /** A try settles nothing if a cancel came during it: the next one knows. */
  async #unlessCancelled(uploadId: string): Promise<BucketError | undefined> {
    const upload = await this.#store.getUpload(uploadId);
    if (upload?.status !== 'completing' || upload.cancelRequestedBy === null) return undefined;
    return new BucketError('unavailable', 'the cancel came while the upload was being completed.');
  }

  /** @throws `error` itself where it says nothing of this upload, and there is time to find out. */
  #explain(error: unknown, { uploadId, expiresAt }: Upload): Finding {
    if (error instanceof BucketError) {
      if (error.kind !== 'unavailable') return explainRefusal(error);
      return {
        error: 'storage_unavailable',
        message: `All parts were sent, but the object store could not be asked to complete them: ${error.message}`,
      };
    }
    // A database that is away could not keep the finding either.
    if (error instanceof StoreError || this.#clock.now() <= expiresAt) throw error;
    this.#log.error({ uploadId, err: error }, 'completion given up');
    return {
      error: 'internal_error',
      message: 'All parts were sent, but the server could not complete the upload; its log says why.',
    };
  }

  /** @throws BucketError `unavailable` when it must be tried again. */
  async #settle(upload: Upload, run: Run): Promise<void> {
    const { signal } = this.#stop;
    const parts = await this.#store.listParts(upload.uploadId);
    const order = checkParts(upload, parts);
    if ('error' in order) return this.#fail(upload, order);
    const { s3UploadId, proof } = order;

    let refusal: BucketError | undefined;
    try {
      if (proof.sizeBytes === 0) await this.#writeEmpty(upload);
      else await this.#putTogether(upload, { ...order, parts, run });
    } catch (error) {
      signal.throwIfAborted();
      if (run.cut.signal.aborted) {
        throw new BucketError('unavailable', 'CompleteMultipartUpload: no answer since the cancel.');
      }
      if (!(error instanceof BucketError)) throw error;
      refusal = error;
    }

    const object = await this.#findOwn(upload);
    if (object !== undefined) return this.#verify(upload, object, proof);
    if (refusal?.kind !== 'unavailable') return this.#recover(upload, refusal);
    const operation = proof.sizeBytes === 0 ? 'PutObject' : 'CompleteMultipartUpload';
    const failure = { operation, error: refusal } as const;
    if (!(await this.#patience.isOver(upload, failure, { signal }))) throw refusal;
    const late = await this.#abortAndLook(upload, s3UploadId);
    if (late !== undefined) return this.#verify(upload, late, proof);
    await this.#onSame(upload, async (newest) => {
      await this.#recovery.giveUpParts(newest, { message: refusal.message, during: 'completion' });
    });
  }

  /**
   * It counts as completed if it is: then the cancel came too late.
   *
   * @throws BucketError `unavailable` when it must be tried again.
   */
  async #settleCancelled(upload: Upload): Promise<void> {
    const parts = await this.#store.listParts(upload.uploadId);
    const order = checkParts(upload, parts);
    if (!('error' in order)) {
      const object = (await this.#findOwn(upload)) ?? (await this.#abortAndLook(upload, order.s3UploadId));
      if (object !== undefined) return this.#verify(upload, object, order.proof);
    }
    const isAborted = !('error' in order);
    await this.#ending.end(upload.uploadId, { type: 'cancel_completing', isAborted });
  }

  async #findOwn(upload: Upload): Promise<ObjectFacts | undefined> {
    const object = await this.#bucket.head(upload.key, { signal: this.#stop.signal });
    if (object === undefined || object.token !== upload.objectToken) return undefined;
    return object;
  }

  /** After the abort no Complete that is still on its way can take effect; what it has made by then is found. */
  async #abortAndLook(upload: Upload, s3UploadId: string | null): Promise<ObjectFacts | undefined> {
    if (s3UploadId === null) return undefined;
    await this.#bucket.abortMultipartUpload({ key: upload.key, s3UploadId }, { signal: this.#stop.signal });
    return this.#findOwn(upload);
  }

  /** Runs `task` on the newest row, if it is the same attempt that is still to be completed. */
  async #onSame<Result>(
    { uploadId, attempt }: Upload,
    task: (newest: Upload) => Promise<Result>,
  ): Promise<Result | undefined> {
    return this.#ledger.onNewest(uploadId, async (newest) =>
      newest.status === 'completing' && newest.attempt === attempt ? task(newest) : undefined,
    );
  }

  /** @throws BucketError `unavailable` when it must be tried again. */
  async #verify(
    upload: Upload,
    object: ObjectFacts,
    { sizeBytes, checksumMode, crc32 }: Proof,
  ): Promise<void> {
    const mismatch = compare(object, sizeBytes, crc32);
    if (mismatch !== undefined) {
      // Before the row says so: afterwards nobody would try again.
      const outcome = await this.#remove(upload, object);
      return this.#fail(upload, { error: 'checksum_mismatch', message: `${mismatch} ${outcome}` });
    }
    const verification = howSure(object, checksumMode);
    const verified = await this.#onSame(upload, (newest) =>
      this.#ledger.apply(newest, { type: 'verified', object, crc32, verification }, { clearParts: true }),
    );
    if (verified === undefined) throw new Error('the upload changed while it was completing');
    // Of an empty file whose agent sent a part; what fails is repeated by the sweeper.
    await this.#ending.closeMultipart(verified);
    this.#log.info({ uploadId: upload.uploadId, verification, sizeBytes }, 'upload completed');
  }

  async #putTogether(
    { key }: Upload,
    { s3UploadId, parts, proof, run }: PartsInOrder & { parts: readonly UploadPart[]; run: Run },
  ): Promise<void> {
    if (s3UploadId === null) throw new Error('an upload with parts has no multipart upload');
    const sent = parts.map((part) => ({
      partNumber: part.partNumber,
      etag: part.etag ?? '',
      crc32: part.crc32,
      sha256: part.sha256 ?? undefined,
    }));
    const signal = AbortSignal.any([this.#stop.signal, run.cut.signal]);
    await this.#bucket.completeMultipartUpload({ key, s3UploadId }, { parts: sent, ...proof }, { signal });
  }

  /** Stores refuse empty parts, or a checksum of an object that is made of one. */
  async #writeEmpty({ key, objectToken }: Upload): Promise<void> {
    if (objectToken === null) throw new Error('an upload is completing without a token');
    await this.#bucket.putEmptyObject({ key, token: objectToken }, { signal: this.#stop.signal });
  }

  /**
   * @returns what came of it, for the record.
   * @throws BucketError `unavailable` when it must be tried again.
   */
  async #remove(upload: Upload, { versionId }: ObjectFacts): Promise<string> {
    try {
      await this.#bucket.deleteObject(upload.key, { versionId, signal: this.#stop.signal });
      return 'The object was removed.';
    } catch (error) {
      if (!(error instanceof BucketError) || error.kind === 'unavailable') throw error;
      return `The object could not be removed yet: ${error.message}`;
    }
  }

  /** There is no object of ours: what is missing is sent again, where that can help. */
  async #recover(upload: Upload, refusal: BucketError | undefined): Promise<void> {
    const finding = explainRefusal(refusal);
    await this.#onSame(upload, async (newest) => {
      // Settled by the next try, which knows of the cancel.
      if (newest.cancelRequestedBy !== null) return;
      if (refusal?.kind === 'upload_gone') {
        await this.#recovery.settle(newest, finding, 'completion');
      } else if (refusal?.kind === 'invalid_parts' && newest.refusedCompletions < MAX_REFUSED_COMPLETIONS) {
        // Overwritten by a PUT that came late, most likely: the next attempt sees what S3 holds now.
        const reason = `The object store does not accept the parts: ${refusal.message}`;
        await this.#recovery.interrupt(newest, { reason, waitMs: RESEND_WAIT_MS, during: 'completion' });
      } else {
        await this.#ending.endHeld(newest, { type: 'fail', ...finding });
      }
    });
  }

  async #fail(upload: Upload, finding: Finding): Promise<void> {
    await this.#ending.end(upload.uploadId, { type: 'fail', ...finding });
  }
}

interface PartsInOrder {
  /** Null only for an empty file. */
  readonly s3UploadId: string | null;
  readonly proof: Proof;
}

function checkParts(upload: Upload, parts: readonly UploadPart[]): Finding | PartsInOrder {
  const { s3UploadId, checksumMode, sizeBytes, partCount } = upload;
  const isBegun = s3UploadId !== null || sizeBytes === 0;
  if (!isBegun || checksumMode === null || sizeBytes === null || partCount === null) {
    return { error: 'protocol_error', message: 'The agent reported the end of an upload that never began.' };
  }
  if (sizeBytes === 0) return { s3UploadId, proof: { sizeBytes, checksumMode, crc32: EMPTY_CRC32 } };
  const plan = planParts(sizeBytes, planRule);
  const missing = Array.from({ length: partCount }, (_, index) => index + 1).find((partNumber) => {
    const part = parts[partNumber - 1];
    return (
      part?.partNumber !== partNumber ||
      part.etag === null ||
      part.sizeBytes !== partRange(plan, partNumber).length
    );
  });
  if (missing !== undefined || parts.length !== partCount) {
    return {
      error: 'protocol_error',
      message: `The agent reported all parts as sent, but part ${missing ?? partCount + 1} was not.`,
    };
  }
  return { s3UploadId, proof: { sizeBytes, checksumMode, crc32: combineCrc32(parts) } };
}

/** Of no bytes the length says all. A checksum of the whole object was compared above if the store has one; in modes other than none it enforced each part's. */
function howSure(object: ObjectFacts, mode: ChecksumMode): Verification {
  if (object.crc32 !== null || object.sizeBytes === 0) return 'full_object';
  return mode === 'none' ? 'size_only' : 'parts';
}

/** @returns what is wrong with the object, in a sentence. */
function compare(object: ObjectFacts, sizeBytes: number, crc32: string): string | undefined {
  if (object.sizeBytes !== sizeBytes) {
    return `The object has ${object.sizeBytes} bytes, the file ${sizeBytes}.`;
  }
  if (object.crc32 !== null && object.crc32 !== crc32) {
    return `The object's CRC32 is ${object.crc32}, the file's ${crc32}.`;
  }
  return undefined;
}

function explainRefusal(refusal: BucketError | undefined): Finding {
  switch (refusal?.kind) {
    case undefined:
    case 'unavailable':
      return {
        error: 'storage_refused',
        message: 'The object store accepted the parts, but shows no object with this upload’s token.',
      };
    case 'upload_gone':
      return { error: 'upload_gone', message: refusal.message };
    case 'invalid_parts':
    case 'checksum_mismatch':
      return { error: 'checksum_mismatch', message: refusal.message };
    case 'object_exists':
    case 'refused':
      return { error: 'storage_refused', message: refusal.message };
  }
}
