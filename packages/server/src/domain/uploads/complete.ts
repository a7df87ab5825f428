import { Semaphore } from '../concurrency.ts';
import { type Bucket, BucketError, type ObjectFacts } from '../ports/bucket.ts';
import type { ClockWatch } from '../clock-watch.ts';
import type { Clock } from '../ports/clock.ts';
import type { Log } from '../ports/log.ts';
import { type Store, StoreError } from '../ports/store.ts';
import type { UploadSettings } from '../upload-settings.ts';
import { type StorePatience, waitingForStore } from './bucket-outage.ts';
import type { UploadEnding } from './end.ts';
import {
  type CheckedParts,
  checkParts,
  compareObject,
  type ExpectedObject,
  type Failure,
  verificationLevel,
} from './expected-object.ts';
import type { UploadLedger } from './ledger.ts';
import type { AttemptRecovery } from './requeue.ts';
import type { Upload, UploadPart } from './upload.ts';

/** After an outage many uploads wait; they must not all call the store at once. */
const MAX_AT_ONCE = 16;
/** A store that refuses acknowledged parts this often has a fault that sending them again does not fix. */
const MAX_REFUSED_COMPLETIONS = 3;
const RESEND_WAIT_MS = 1000;
/** A store needs time to assemble many parts; once the upload is to be cancelled, it gets no more than this. */
const COMPLETE_AFTER_CANCEL_MS = 15_000;

/** One upload being completed. */
interface Run {
  done: Promise<void>;
  /** Ends the delay between two tries. */
  wake: AbortController;
  /** Ends the wait for the response to Complete. */
  readonly giveUp: AbortController;
}

interface CompletionDeps {
  readonly store: Store;
  readonly ledger: UploadLedger;
  readonly bucket: Bucket;
  readonly ending: UploadEnding;
  readonly recovery: AttemptRecovery;
  readonly patience: StorePatience;
  readonly clock: Clock;
  readonly clockWatch: ClockWatch;
  readonly log: Log;
  readonly settings: Pick<UploadSettings, 'maxBackoffMs'>;
  /** Rejects when the signal aborts. */
  readonly sleep: (ms: number, signal: AbortSignal) => Promise<void>;
  /** In [0, 1); for jitter. */
  readonly random: () => number;
}

/**
 * Moves an upload from `completing` to `completed`, a named failure or, if requested meanwhile, `cancelled`.
 * `completing` is durable before S3 is called, and every doubt (a lost response, a missing multipart upload, an
 * existing object at the key) is resolved by a HEAD: the object is ours only if it carries this attempt's token.
 * Therefore it can run again after any crash.
 *
 * Once the upload is to be cancelled, Complete is not sent again. It is cancelled if no earlier Complete has taken
 * effect and none can any more because the multipart upload was aborted.
 */
export class Completion {
  readonly #deps: CompletionDeps;
  readonly #stop = new AbortController();
  readonly #running = new Map<string, Run>();
  readonly #slots = new Semaphore(MAX_AT_ONCE);

  constructor(deps: CompletionDeps) {
    this.#deps = deps;
  }

  /** Starts completing in the background, once per upload. */
  start(uploadId: string): void {
    if (this.#running.has(uploadId) || this.#stop.signal.aborted) return;
    const run: Run = {
      done: Promise.resolve(),
      wake: new AbortController(),
      giveUp: new AbortController(),
    };
    this.#running.set(uploadId, run);
    run.done = this.#run(uploadId, run)
      .catch((error: unknown) => {
        if (this.#stop.signal.aborted) return;
        // The row still says `completing`; the sweeper starts it again.
        this.#deps.log.error({ uploadId, err: error }, 'completion interrupted');
      })
      .finally(() => {
        this.#running.delete(uploadId);
        this.#deps.patience.forget(uploadId);
      });
  }

  /** An upload to be cancelled does not wait for its next try. */
  wake(uploadId: string): void {
    this.#running.get(uploadId)?.wake.abort();
  }

  /** An upload to be cancelled waits only briefly for an outstanding response of the store. */
  limitWait(uploadId: string): void {
    const run = this.#running.get(uploadId);
    if (run === undefined) return;
    void this.#deps.sleep(COMPLETE_AFTER_CANCEL_MS, this.#stop.signal).then(
      () => run.giveUp.abort(),
      () => undefined,
    );
  }

  /** Stops all waits and calls; `completing` uploads continue at the next start. */
  async close(): Promise<void> {
    this.#stop.abort();
    await Promise.all([...this.#running.values()].map(({ done }) => done));
  }

  async #run(uploadId: string, run: Run): Promise<void> {
    for (let tries = 0; ; tries += 1) {
      // An upload that waits for its next try does not occupy a slot.
      const failure = await this.#slots.run(() => this.#try(uploadId, tries, run));
      if (failure === undefined) return;
      const ceiling = Math.min(this.#deps.settings.maxBackoffMs, 500 * 2 ** Math.min(tries, 16));
      const waitMs = this.#deps.random() * ceiling;
      await this.#recordStall(uploadId, waitingForStore(failure), waitMs);
      await this.#pause(run, waitMs);
    }
  }

  async #pause(run: Run, waitMs: number): Promise<void> {
    try {
      await this.#deps.sleep(waitMs, AbortSignal.any([this.#stop.signal, run.wake.signal]));
    } catch (error) {
      this.#stop.signal.throwIfAborted();
      if (!run.wake.signal.aborted) throw error;
      run.wake = new AbortController();
    }
  }

  async #recordStall(uploadId: string, reason: string, waitMs: number): Promise<void> {
    const nextRetryAt = Math.round(this.#deps.clock.now() + waitMs);
    await this.#deps.ledger.exclusively(uploadId, async () => {
      const upload = await this.#deps.store.getUpload(uploadId);
      if (upload?.status !== 'completing') return;
      await this.#deps.ledger.apply(upload, { type: 'stall', reason, nextRetryAt });
    });
  }

  /** @returns the transient error; undefined once the upload is resolved. */
  async #try(uploadId: string, tries: number, run: Run): Promise<BucketError | undefined> {
    this.#stop.signal.throwIfAborted();
    await this.#deps.clockWatch.check();
    const upload = await this.#deps.store.getUpload(uploadId);
    if (upload?.status !== 'completing') return undefined;
    try {
      if (upload.cancelRequestedBy === null) await this.#complete(upload, run);
      else await this.#resolveCancel(upload);
    } catch (error) {
      // A call aborted by close() says nothing about the store.
      this.#stop.signal.throwIfAborted();
      const isTransient = error instanceof BucketError && error.kind === 'unavailable';
      if (isTransient && this.#deps.clock.now() <= upload.expiresAt) {
        this.#deps.log.warn({ uploadId, tries, err: error }, 'object store unavailable while completing');
        return error;
      }
      if (upload.cancelRequestedBy !== null && error instanceof BucketError) {
        // An object that a Complete may have created is removed with the multipart upload, as soon as the store
        // allows it.
        await this.#deps.ending.end(uploadId, { type: 'cancel_completing', isAborted: false });
      } else {
        await this.#fail(upload, this.#explain(error, upload));
      }
    }
    return this.#unlessCancelled(uploadId);
  }

  /** A try that a cancel overlapped is repeated: the next try takes the cancel into account. */
  async #unlessCancelled(uploadId: string): Promise<BucketError | undefined> {
    const upload = await this.#deps.store.getUpload(uploadId);
    if (upload?.status !== 'completing' || upload.cancelRequestedBy === null) return undefined;
    return new BucketError('unavailable', 'the cancel came while the upload was being completed.');
  }

  /** @throws `error` itself if it says nothing about this upload and there is time to find out. */
  #explain(error: unknown, { uploadId, expiresAt }: Upload): Failure {
    if (error instanceof BucketError) {
      if (error.kind !== 'unavailable') return explainRefusal(error);
      return {
        error: 'storage_unavailable',
        message: `All parts were sent, but the object store could not be reached to complete them: ${error.message}`,
      };
    }
    // An unreachable database could not store the failure either.
    if (error instanceof StoreError || this.#deps.clock.now() <= expiresAt) throw error;
    this.#deps.log.error({ uploadId, err: error }, 'completion failed');
    return {
      error: 'internal_error',
      message: 'All parts were sent, but the server could not complete the upload; its log says why.',
    };
  }

  /** @throws BucketError `unavailable` when it must be tried again. */
  async #complete(upload: Upload, run: Run): Promise<void> {
    const { signal } = this.#stop;
    const parts = await this.#deps.store.listParts(upload.uploadId);
    const checked = checkParts(upload, parts);
    if ('error' in checked) return this.#fail(upload, checked);
    const { s3UploadId, expected } = checked;

    let refusal: BucketError | undefined;
    try {
      if (expected.sizeBytes === 0) await this.#writeEmpty(upload);
      else await this.#assemble(upload, { ...checked, parts, run });
    } catch (error) {
      signal.throwIfAborted();
      if (run.giveUp.signal.aborted) {
        throw new BucketError('unavailable', 'CompleteMultipartUpload: no response since the cancel.');
      }
      if (!(error instanceof BucketError)) throw error;
      refusal = error;
    }

    const object = await this.#findOwn(upload);
    if (object !== undefined) return this.#verify(upload, object, expected);
    if (refusal?.kind !== 'unavailable') return this.#recover(upload, refusal);
    const operation = expected.sizeBytes === 0 ? 'PutObject' : 'CompleteMultipartUpload';
    const failure = { operation, error: refusal } as const;
    if (!(await this.#deps.patience.isOver(upload, failure, { signal }))) throw refusal;
    const late = await this.#abortAndFind(upload, s3UploadId);
    if (late !== undefined) return this.#verify(upload, late, expected);
    await this.#onSameAttempt(upload, async (newest) => {
      await this.#deps.recovery.giveUpParts(newest, { message: refusal.message, during: 'completion' });
    });
  }

  /**
   * If the object is complete, the upload counts as completed: the cancel came too late.
   *
   * @throws BucketError `unavailable` when it must be tried again.
   */
  async #resolveCancel(upload: Upload): Promise<void> {
    const parts = await this.#deps.store.listParts(upload.uploadId);
    const checked = checkParts(upload, parts);
    if (!('error' in checked)) {
      const object = (await this.#findOwn(upload)) ?? (await this.#abortAndFind(upload, checked.s3UploadId));
      if (object !== undefined) return this.#verify(upload, object, checked.expected);
    }
    const isAborted = !('error' in checked);
    await this.#deps.ending.end(upload.uploadId, { type: 'cancel_completing', isAborted });
  }

  async #findOwn(upload: Upload): Promise<ObjectFacts | undefined> {
    const object = await this.#deps.bucket.head(upload.key, { signal: this.#stop.signal });
    if (object === undefined || object.token !== upload.objectToken) return undefined;
    return object;
  }

  /** After the abort no pending Complete can take effect, so an object created before it is found. */
  async #abortAndFind(upload: Upload, s3UploadId: string | null): Promise<ObjectFacts | undefined> {
    if (s3UploadId === null) return undefined;
    const { signal } = this.#stop;
    await this.#deps.bucket.abortMultipartUpload({ key: upload.key, s3UploadId }, { signal });
    return this.#findOwn(upload);
  }

  /** Runs `task` on the newest row if it is still completing in the same attempt. */
  async #onSameAttempt<Result>(
    { uploadId, attempt }: Upload,
    task: (newest: Upload) => Promise<Result>,
  ): Promise<Result | undefined> {
    return this.#deps.ledger.onNewest(uploadId, async (newest) =>
      newest.status === 'completing' && newest.attempt === attempt ? task(newest) : undefined,
    );
  }

  /** @throws BucketError `unavailable` when it must be tried again. */
  async #verify(upload: Upload, object: ObjectFacts, expected: ExpectedObject): Promise<void> {
    const { sizeBytes, checksumMode, crc32 } = expected;
    const mismatch = compareObject(object, expected);
    if (mismatch !== undefined) {
      // The removal comes before the row's change; afterwards nothing would retry it.
      const outcome = await this.#remove(upload, object);
      return this.#fail(upload, { error: 'checksum_mismatch', message: `${mismatch} ${outcome}` });
    }
    const verification = verificationLevel(object, checksumMode);
    const verified = await this.#onSameAttempt(upload, (newest) =>
      this.#deps.ledger.apply(
        newest,
        { type: 'verified', object, crc32, verification },
        { clearParts: true },
      ),
    );
    if (verified === undefined) throw new Error('the upload changed while it was completing');
    // An empty file's agent may have sent a part; failures are retried by the sweeper.
    await this.#deps.ending.closeMultipart(verified);
    this.#deps.log.info({ uploadId: upload.uploadId, verification, sizeBytes }, 'upload completed');
  }

  async #assemble(
    { key }: Upload,
    { s3UploadId, parts, expected, run }: CheckedParts & { parts: readonly UploadPart[]; run: Run },
  ): Promise<void> {
    if (s3UploadId === null) throw new Error('an upload with parts has no multipart upload');
    const sent = parts.map((part) => ({
      partNumber: part.partNumber,
      etag: part.etag ?? '',
      crc32: part.crc32,
      sha256: part.sha256 ?? undefined,
    }));
    const signal = AbortSignal.any([this.#stop.signal, run.giveUp.signal]);
    await this.#deps.bucket.completeMultipartUpload(
      { key, s3UploadId },
      { parts: sent, ...expected },
      { signal },
    );
  }

  /** Stores refuse empty parts, or the checksum of an object made of one. */
  async #writeEmpty({ key, objectToken }: Upload): Promise<void> {
    if (objectToken === null) throw new Error('an upload is completing without a token');
    await this.#deps.bucket.putEmptyObject({ key, token: objectToken }, { signal: this.#stop.signal });
  }

  /**
   * @returns the outcome of the removal, for the record.
   * @throws BucketError `unavailable` when it must be tried again.
   */
  async #remove(upload: Upload, { versionId }: ObjectFacts): Promise<string> {
    try {
      await this.#deps.bucket.deleteObject(upload.key, { versionId, signal: this.#stop.signal });
      return 'The object was removed.';
    } catch (error) {
      if (!(error instanceof BucketError) || error.kind === 'unavailable') throw error;
      return `The object could not be removed yet: ${error.message}`;
    }
  }

  /** The object does not exist: missing parts are sent again if that can help. */
  async #recover(upload: Upload, refusal: BucketError | undefined): Promise<void> {
    const failure = explainRefusal(refusal);
    await this.#onSameAttempt(upload, async (newest) => {
      // The next try takes the cancel into account.
      if (newest.cancelRequestedBy !== null) return;
      if (refusal?.kind === 'upload_gone') {
        await this.#deps.recovery.handleFailure(newest, failure, 'completion');
      } else if (refusal?.kind === 'invalid_parts' && newest.refusedCompletions < MAX_REFUSED_COMPLETIONS) {
        // Most likely overwritten by a late PUT: the next attempt lists what S3 has now.
        const reason = `The object store does not accept the parts: ${refusal.message}`;
        await this.#deps.recovery.interrupt(newest, { reason, waitMs: RESEND_WAIT_MS, during: 'completion' });
      } else {
        await this.#deps.ending.endLocked(newest, { type: 'fail', ...failure });
      }
    });
  }

  async #fail(upload: Upload, failure: Failure): Promise<void> {
    await this.#deps.ending.end(upload.uploadId, { type: 'fail', ...failure });
  }
}

function explainRefusal(refusal: BucketError | undefined): Failure {
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
