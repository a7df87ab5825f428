import { randomUUID } from 'node:crypto';
import { BackhaulError } from '@backhaul/protocol';
import { type Bucket, BucketError, type CallOptions } from '../ports/bucket.ts';
import type { Clock } from '../ports/clock.ts';
import type { Upload } from './upload.ts';

/** Stall reason, shown to users, of an upload that only waits for the object store. */
export function waitingForStore({ message }: Pick<Error, 'message'>): string {
  return `Waiting for the object store: ${message}`;
}

/** @returns the error while the store does not respond; a refusal, for example by a policy, is a response. */
export async function bucketOutage(bucket: Pick<Bucket, 'ping'>): Promise<BucketError | undefined> {
  try {
    await bucket.ping();
    return undefined;
  } catch (error) {
    if (!(error instanceof BucketError)) throw error;
    return error.kind === 'unavailable' ? error : undefined;
  }
}

/** How long a result is reused. */
const FRESH_MS = 1000;

interface Check {
  readonly result: Promise<void>;
  /** Undefined while the check runs. */
  finishedAt: number | undefined;
}

/**
 * Checks whether the object store responds. Concurrent callers share one check: a store that hangs costs one wait,
 * not one for each queued upload.
 */
export class BucketProbe {
  readonly #bucket: Bucket;
  readonly #clock: Clock;
  #last: Check | undefined;

  constructor(bucket: Bucket, clock: Clock) {
    this.#bucket = bucket;
    this.#clock = clock;
  }

  /** @throws BucketError `unavailable`, also if a check found that up to a second ago. */
  assertAvailable(): Promise<void> {
    const last = this.#last;
    return last !== undefined && this.#isFresh(last) ? last.result : this.#check();
  }

  #isFresh({ finishedAt }: Check): boolean {
    return finishedAt === undefined || this.#clock.elapsed() - finishedAt < FRESH_MS;
  }

  #check(): Promise<void> {
    const result = this.#ping();
    const check: Check = { result, finishedAt: undefined };
    this.#last = check;
    const onFinished = (): void => {
      check.finishedAt = this.#clock.elapsed();
    };
    result.then(onFinished, onFinished);
    return result;
  }

  async #ping(): Promise<void> {
    const outage = await bucketOutage(this.#bucket);
    if (outage !== undefined) throw outage;
  }
}

/** Complete is sent once per try; the others are already retried within each call. */
const MAX_FAILURES = { ListParts: 3, PutObject: 3, CompleteMultipartUpload: 6 } as const;
/** Minimum duration of the failures, however many: a restarting store needs that long. */
const MIN_DURATION_MS = 30_000;
/**
 * Minimum duration for a Complete without an error from the store itself: a gateway may time out before all parts are
 * assembled.
 */
const MIN_SILENCE_MS = 30 * 60_000;
/** More uploads than these do not fail at once in a healthy store. */
const MAX_REMEMBERED = 1000;

/** A throttling store is not helped by sending all bytes again. */
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

/** No response, or one that only says that there is none, such as a gateway's. */
const silent: ReadonlySet<string | null> = new Set([null, 'ServiceUnavailable']);

interface Failures {
  /** Null for an empty file's object. */
  readonly s3UploadId: string | null;
  readonly since: number;
  times: number;
}

/**
 * Limits how long a multipart upload is retried that the store cannot list or complete while it is healthy otherwise.
 * Some stores respond 500 for one upload until it is aborted, and accept the same file in another immediately. Counts
 * in memory: a restarted server starts counting again.
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
   * Call this for a call that failed as `unavailable`.
   *
   * @returns whether its multipart upload should be given up: it failed often and for long, and the store accepts
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
    if (!(await this.#acceptsAnother(upload, options))) return false;
    this.forget(uploadId);
    return true;
  }

  /** The multipart upload works again, or is no longer used. */
  forget(uploadId: string): void {
    this.#failures.delete(uploadId);
  }

  #remember(uploadId: string, failures: Failures): void {
    this.#failures.set(uploadId, failures);
    const [oldest] = this.#failures.keys();
    if (this.#failures.size > MAX_REMEMBERED && oldest !== undefined) this.#failures.delete(oldest);
  }

  /** Leftovers of a server crash are aborted by the sweep for orphans. */
  async #acceptsAnother({ key, checksumMode }: Upload, options: CallOptions): Promise<boolean> {
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

/** Time limit for operator requests that need the object store. Clients wait 30 s. */
const STORE_DEADLINE_MS = 10_000;

/**
 * Calls the object store for a waiting operator, with a time limit.
 *
 * @param ask Must end when its signal aborts.
 * @throws BackhaulError `storage_unavailable` when the time is up; the effect of the call is unknown then.
 */
export async function withStoreDeadline<Result>(
  ask: (signal: AbortSignal) => Promise<Result>,
  withinMs = STORE_DEADLINE_MS,
): Promise<Result> {
  const deadline = new AbortController();
  const timer = setTimeout(() => deadline.abort(), withinMs);
  try {
    return await ask(deadline.signal);
  } catch (error) {
    if (!deadline.signal.aborted || error instanceof BackhaulError) throw error;
    throw new BackhaulError(
      'storage_unavailable',
      `The object store did not respond to the server within ${withinMs / 1000} s; try again later.`,
      { cause: error },
    );
  } finally {
    clearTimeout(timer);
  }
}
