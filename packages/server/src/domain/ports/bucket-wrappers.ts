import {
  type Bucket,
  BucketError,
  type BucketErrorKind,
  type CallOptions,
  type PendingUpload,
} from './bucket.ts';
import type { Clock } from './clock.ts';

export type BucketOperation = Exclude<keyof Bucket, 'name'>;

/** What a wrapper does around the calls of a bucket. Signing sends no request, so it takes no options. */
interface BucketWrapper {
  readonly call: <T>(
    operation: BucketOperation,
    options: CallOptions | undefined,
    forward: (options: CallOptions | undefined) => Promise<T>,
  ) => Promise<T>;
  readonly listing: (
    options: CallOptions | undefined,
    forward: (options: CallOptions | undefined) => AsyncIterable<PendingUpload>,
  ) => AsyncIterable<PendingUpload>;
}

/** Forwards every call to another bucket through the wrapper. */
function wrapBucket(bucket: Bucket, { call, listing }: BucketWrapper): Bucket {
  return {
    name: bucket.name,
    capabilities: (options) => call('capabilities', options, (o) => bucket.capabilities(o)),
    createMultipartUpload: (request, options) =>
      call('createMultipartUpload', options, (o) => bucket.createMultipartUpload(request, o)),
    signParts: (upload, parts, mode) =>
      call('signParts', undefined, () => bucket.signParts(upload, parts, mode)),
    listParts: (upload, options) => call('listParts', options, (o) => bucket.listParts(upload, o)),
    completeMultipartUpload: (upload, request, options) =>
      call('completeMultipartUpload', options, (o) => bucket.completeMultipartUpload(upload, request, o)),
    putEmptyObject: (request, options) =>
      call('putEmptyObject', options, (o) => bucket.putEmptyObject(request, o)),
    listMultipartUploads: (keyPrefix, options) =>
      listing(options, (o) => bucket.listMultipartUploads(keyPrefix, o)),
    abortMultipartUpload: (upload, options) =>
      call('abortMultipartUpload', options, (o) => bucket.abortMultipartUpload(upload, o)),
    head: (key, options) => call('head', options, (o) => bucket.head(key, { ...options, ...o })),
    deleteObject: (key, options) =>
      call('deleteObject', options, (o) => bucket.deleteObject(key, { ...options, ...o })),
    signGet: (request) => call('signGet', undefined, () => bucket.signGet(request)),
    ping: (options) => call('ping', options, (o) => bucket.ping(o)),
  };
}

/** Aborts all calls when `stop` aborts, in addition to their own signals. */
export function stoppableBucket(bucket: Bucket, stop: AbortSignal): Bucket {
  const stoppable = ({ signal }: CallOptions = {}): CallOptions => ({
    signal: signal === undefined ? stop : AbortSignal.any([signal, stop]),
  });
  return wrapBucket(bucket, {
    call: async (_operation, options, forward) => forward(stoppable(options)),
    listing: (options, forward) => forward(stoppable(options)),
  });
}

/** `aborted`: the caller gave up. `fault`: an internal error. */
export type BucketOutcome = 'ok' | BucketErrorKind | 'aborted' | 'fault';

interface Meter {
  readonly clock: Clock;
  readonly observe: (operation: BucketOperation, outcome: BucketOutcome, seconds: number) => void;
}

/** Reports every call: operation, outcome and duration. */
export function meteredBucket(bucket: Bucket, { clock, observe }: Meter): Bucket {
  const start = (operation: BucketOperation) => {
    const startedAt = clock.elapsed();
    return (outcome: BucketOutcome) => observe(operation, outcome, (clock.elapsed() - startedAt) / 1000);
  };
  return wrapBucket(bucket, {
    async call(operation, options, forward) {
      const report = start(operation);
      let outcome: BucketOutcome = 'ok';
      try {
        return await forward(options);
      } catch (error) {
        outcome = outcomeOf(error, options);
        throw error;
      } finally {
        report(outcome);
      }
    },
    /** The duration includes the time the caller spends between two entries. */
    async *listing(options, forward) {
      const report = start('listMultipartUploads');
      let outcome: BucketOutcome = 'ok';
      try {
        yield* forward(options);
      } catch (error) {
        outcome = outcomeOf(error, options);
        throw error;
      } finally {
        report(outcome);
      }
    },
  });
}

function outcomeOf(error: unknown, options: CallOptions | undefined): BucketOutcome {
  if (error instanceof BucketError) return error.kind;
  return options?.signal?.aborted === true ? 'aborted' : 'fault';
}
