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
import type { UploadEnding } from './upload-ending.ts';
import type { UploadLedger } from './upload-ledger.ts';
import type { Upload, UploadPart } from './upload.ts';

/** After an outage many wait; they must not all come upon the store at once. */
const MAX_AT_ONCE = 16;
/** A store that so often refuses parts it has acknowledged has a fault that sending them again does not mend. */
const MAX_REFUSED_COMPLETIONS = 3;
const RESEND_WAIT_MS = 1000;

interface Finding {
  readonly error: ErrorCode;
  readonly message: string;
}

/**
 * Turns `completing` into `completed` or a named failure. `completing` is durable before S3 is asked, and every
 * doubt (a lost answer, a vanished multipart upload, something already at the key) is settled by a HEAD: the
 * object is ours only if it carries this attempt's token. Hence it may run again after any crash.
 */
export class Completion {
  readonly #store: Store;
  readonly #ledger: UploadLedger;
  readonly #bucket: Bucket;
  readonly #ending: UploadEnding;
  readonly #recovery: AttemptRecovery;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #maxBackoffMs: number;
  readonly #sleep: (ms: number, signal: AbortSignal) => Promise<void>;
  readonly #random: () => number;
  readonly #stop = new AbortController();
  readonly #running = new Map<string, Promise<void>>();
  readonly #places = new Semaphore(MAX_AT_ONCE);

  constructor(parts: {
    store: Store;
    ledger: UploadLedger;
    bucket: Bucket;
    ending: UploadEnding;
    recovery: AttemptRecovery;
    clock: Clock;
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
    this.#clock = parts.clock;
    this.#log = parts.log;
    this.#maxBackoffMs = parts.maxBackoffMs;
    this.#sleep = parts.sleep;
    this.#random = parts.random;
  }

  /** Starts it in the background, once per upload. */
  start(uploadId: string): void {
    if (this.#running.has(uploadId) || this.#stop.signal.aborted) return;
    const run = this.#run(uploadId)
      .catch((error: unknown) => {
        if (this.#stop.signal.aborted) return;
        // The row still says `completing`; the sweeper starts it again.
        this.#log.error({ uploadId, err: error }, 'completion interrupted');
      })
      .finally(() => this.#running.delete(uploadId));
    this.#running.set(uploadId, run);
  }

  /** Stops waiting and calling; what is `completing` goes on at the next start. */
  async close(): Promise<void> {
    this.#stop.abort();
    await Promise.all(this.#running.values());
  }

  async #run(uploadId: string): Promise<void> {
    for (let tries = 0; ; tries += 1) {
      // Whoever waits for the next try leaves its place to others.
      const obstacle = await this.#places.run(() => this.#try(uploadId, tries));
      if (obstacle === undefined) return;
      const ceiling = Math.min(this.#maxBackoffMs, 500 * 2 ** Math.min(tries, 16));
      const waitMs = this.#random() * ceiling;
      await this.#sayWhy(uploadId, storeAway(obstacle), waitMs);
      await this.#sleep(waitMs, this.#stop.signal);
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
  async #try(uploadId: string, tries: number): Promise<BucketError | undefined> {
    this.#stop.signal.throwIfAborted();
    const upload = await this.#store.getUpload(uploadId);
    if (upload?.status !== 'completing') return undefined;
    try {
      await this.#settle(upload);
    } catch (error) {
      // A call that close() cut short says nothing of the store.
      this.#stop.signal.throwIfAborted();
      const isTransient = error instanceof BucketError && error.kind === 'unavailable';
      if (isTransient && this.#clock.now() <= upload.expiresAt) {
        this.#log.warn({ uploadId, tries, err: error }, 'object store unavailable while completing');
        return error;
      }
      await this.#fail(upload, this.#explain(error, upload));
    }
    return undefined;
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
  async #settle(upload: Upload): Promise<void> {
    const { signal } = this.#stop;
    const parts = await this.#store.listParts(upload.uploadId);
    const order = checkParts(upload, parts);
    if ('error' in order) return this.#fail(upload, order);
    const { s3UploadId, checksumMode, sizeBytes } = order;
    const crc32 = combineCrc32(parts);

    let refusal: BucketError | undefined;
    try {
      await this.#bucket.completeMultipartUpload(
        { key: upload.key, s3UploadId },
        {
          parts: parts.map((part) => ({
            partNumber: part.partNumber,
            etag: part.etag ?? '',
            crc32: part.crc32,
            sha256: part.sha256 ?? undefined,
          })),
          sizeBytes,
          crc32,
          checksumMode,
        },
        { signal },
      );
    } catch (error) {
      if (!(error instanceof BucketError)) throw error;
      refusal = error;
    }

    const object = await this.#bucket.head(upload.key, { signal });
    if (object === undefined || object.token !== upload.objectToken) {
      if (refusal?.kind === 'unavailable') throw refusal;
      return this.#recover(upload, refusal);
    }
    const mismatch = compare(object, sizeBytes, crc32);
    if (mismatch !== undefined) {
      // Before the row says so: afterwards nobody would try again.
      const outcome = await this.#remove(upload, object);
      return this.#fail(upload, { error: 'checksum_mismatch', message: `${mismatch} ${outcome}` });
    }
    const verification = howSure(object, checksumMode);
    const verified = await this.#ledger.exclusively(upload.uploadId, () =>
      this.#ledger.apply(upload, { type: 'verified', object, crc32, verification }, { clearParts: true }),
    );
    if (verified === undefined) throw new Error('the upload changed while it was completing');
    this.#log.info({ uploadId: upload.uploadId, verification, sizeBytes }, 'upload completed');
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
      return `The object could not be removed: ${error.message}`;
    }
  }

  /** There is no object of ours: what is missing is sent again, where that can help. */
  async #recover(upload: Upload, refusal: BucketError | undefined): Promise<void> {
    const finding = explainRefusal(refusal);
    await this.#ledger.exclusively(upload.uploadId, async () => {
      if (refusal?.kind === 'upload_gone') {
        await this.#recovery.settle(upload, finding, 'completion');
      } else if (refusal?.kind === 'invalid_parts' && upload.refusedCompletions < MAX_REFUSED_COMPLETIONS) {
        // Overwritten by a PUT that came late, most likely: the next attempt sees what S3 holds now.
        const reason = `The object store does not accept the parts: ${refusal.message}`;
        await this.#recovery.interrupt(upload, { reason, waitMs: RESEND_WAIT_MS, during: 'completion' });
      } else {
        await this.#ending.endHeld(upload, { type: 'fail', ...finding });
      }
    });
  }

  async #fail(upload: Upload, finding: Finding): Promise<void> {
    await this.#ending.end(upload.uploadId, { type: 'fail', ...finding });
  }
}

function checkParts(
  upload: Upload,
  parts: readonly UploadPart[],
): Finding | { s3UploadId: string; checksumMode: ChecksumMode; sizeBytes: number } {
  const { s3UploadId, checksumMode, sizeBytes, partCount } = upload;
  if (s3UploadId === null || checksumMode === null || sizeBytes === null || partCount === null) {
    return { error: 'protocol_error', message: 'The agent reported the end of an upload that never began.' };
  }
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
  return { s3UploadId, checksumMode, sizeBytes };
}

/** A checksum of the whole object was compared above if the store has one; in modes other than none it enforced each part's. */
function howSure(object: ObjectFacts, mode: ChecksumMode): Verification {
  if (object.crc32 !== null) return 'full_object';
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
