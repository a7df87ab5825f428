import { randomUUID } from 'node:crypto';
import { type Bucket, BucketError, type CallOptions } from '../ports/bucket.ts';
import type { Clock } from '../ports/clock.ts';
import type { Upload } from './upload.ts';

/** Complete is sent once a try; the others are repeated within each call already. */
const MAX_FAILURES = { ListParts: 3, PutObject: 3, CompleteMultipartUpload: 6 } as const;
/** However often it failed: a store that restarts is given that long. */
const MIN_DURATION_MS = 30_000;
/** The same of a Complete without the store's own word that it failed: a gateway may not wait until all is put together. */
const MIN_SILENCE_MS = 30 * 60_000;
/** More uploads than these do not fail at once in a store that is well. */
const MAX_REMEMBERED = 1000;

/** A store that asks for fewer requests is not helped by all the bytes once more. */
const throttled: ReadonlySet<string | null> = new Set([
  'SlowDown',
  'SlowDownRead',
  'SlowDownWrite',
  'TooManyRequests',
  'BandwidthLimitExceeded',
  'RequestLimitExceeded',
  'RequestThrottled',
  'Throttling',
  'ThrottlingException',
]);

/** No answer, or one that says no more than that there is none now, as those of gateways. */
const silent: ReadonlySet<string | null> = new Set([null, 'ServiceUnavailable']);

interface Failures {
  /** Null of an empty file's object. */
  readonly s3UploadId: string | null;
  readonly since: number;
  times: number;
}

/**
 * How long one multipart upload that the store cannot list or complete is asked for, while the store is well
 * otherwise. Some answer 500 for one upload until it is aborted, and take the same file in another at once. Counts in
 * memory: a server that was restarted gives the store the same time again.
 */
export class StorePatience {
  readonly #bucket: Bucket;
  readonly #clock: Pick<Clock, 'elapsed'>;
  readonly #failures = new Map<string, Failures>();

  constructor(bucket: Bucket, clock: Pick<Clock, 'elapsed'>) {
    this.#bucket = bucket;
    this.#clock = clock;
  }

  /**
   * For a call that failed as `unavailable`.
   *
   * @returns whether its multipart upload should be given up: it failed often and for long, and the store takes
   *   another one for the same key right now.
   */
  async isOver(
    upload: Upload,
    { operation, error }: { readonly operation: keyof typeof MAX_FAILURES; readonly error: BucketError },
    options: CallOptions = {},
  ): Promise<boolean> {
    const { uploadId, s3UploadId } = upload;
    if (throttled.has(error.s3Code)) return false;
    const now = this.#clock.elapsed();
    const known = this.#failures.get(uploadId);
    const failures = known?.s3UploadId === s3UploadId ? known : { s3UploadId, since: now, times: 0 };
    failures.times += 1;
    this.#remember(uploadId, failures);
    const mayStillBe = operation === 'CompleteMultipartUpload' && silent.has(error.s3Code);
    const minMs = mayStillBe ? MIN_SILENCE_MS : MIN_DURATION_MS;
    if (failures.times < MAX_FAILURES[operation] || now - failures.since < minMs) return false;
    if (!(await this.#takesAnother(upload, options))) return false;
    this.forget(uploadId);
    return true;
  }

  /** It works again, or is no longer asked for. */
  forget(uploadId: string): void {
    this.#failures.delete(uploadId);
  }

  #remember(uploadId: string, failures: Failures): void {
    this.#failures.set(uploadId, failures);
    const [oldest] = this.#failures.keys();
    if (this.#failures.size > MAX_REMEMBERED && oldest !== undefined) this.#failures.delete(oldest);
  }

  /** What the crash of this server leaves of it is aborted by the sweep for orphans. */
  async #takesAnother({ key, checksumMode }: Upload, options: CallOptions): Promise<boolean> {
    if (checksumMode === null) return false;
    try {
      const trial = await this.#bucket.createMultipartUpload(
        { key, token: randomUUID(), checksumMode },
        options,
      );
      await this.#bucket.abortMultipartUpload(trial, options);
      return true;
    } catch (error) {
      if (!(error instanceof BucketError)) throw error;
      return false;
    }
  }
}
