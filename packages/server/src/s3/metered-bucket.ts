import type { ChecksumMode } from '@backhaul/protocol';
import {
  type Bucket,
  type BucketCapabilities,
  BucketError,
  type BucketErrorKind,
  type CallOptions,
  type ListedPart,
  type MultipartUpload,
  type ObjectFacts,
  type PartToSign,
  type PendingUpload,
  type SignedWindow,
  type VersionOptions,
} from '../domain/ports/bucket.ts';

export type BucketOperation = Exclude<keyof Bucket, 'name'>;

/** `aborted`: the caller gave up. `fault`: an internal error. */
export type BucketOutcome = 'ok' | BucketErrorKind | 'aborted' | 'fault';

export type ObserveBucket = (operation: BucketOperation, outcome: BucketOutcome, seconds: number) => void;

/** Reports every call to another bucket: operation, outcome and duration. */
export class MeteredBucket implements Bucket {
  readonly #bucket: Bucket;
  readonly #observe: ObserveBucket;

  constructor(bucket: Bucket, observe: ObserveBucket) {
    this.#bucket = bucket;
    this.#observe = observe;
  }

  get name(): string {
    return this.#bucket.name;
  }

  async capabilities(options?: CallOptions): Promise<BucketCapabilities> {
    return this.#metered('capabilities', options, async () => this.#bucket.capabilities(options));
  }

  async createMultipartUpload(
    request: { key: string; token: string; checksumMode: ChecksumMode },
    options?: CallOptions,
  ): Promise<MultipartUpload> {
    return this.#metered('createMultipartUpload', options, async () =>
      this.#bucket.createMultipartUpload(request, options),
    );
  }

  async signParts(
    upload: MultipartUpload,
    parts: readonly PartToSign[],
    mode: ChecksumMode,
  ): Promise<SignedWindow> {
    return this.#metered('signParts', undefined, async () => this.#bucket.signParts(upload, parts, mode));
  }

  async listParts(upload: MultipartUpload, options?: CallOptions): Promise<ListedPart[]> {
    return this.#metered('listParts', options, async () => this.#bucket.listParts(upload, options));
  }

  /** The duration includes the time the caller spends between two entries. */
  async *listMultipartUploads(keyPrefix: string, options?: CallOptions): AsyncGenerator<PendingUpload> {
    const started = performance.now();
    let outcome: BucketOutcome = 'ok';
    try {
      yield* this.#bucket.listMultipartUploads(keyPrefix, options);
    } catch (error) {
      outcome = outcomeOf(error, options);
      throw error;
    } finally {
      this.#observe('listMultipartUploads', outcome, secondsSince(started));
    }
  }

  async completeMultipartUpload(
    upload: MultipartUpload,
    request: Parameters<Bucket['completeMultipartUpload']>[1],
    options?: CallOptions,
  ): Promise<void> {
    return this.#metered('completeMultipartUpload', options, async () =>
      this.#bucket.completeMultipartUpload(upload, request, options),
    );
  }

  async putEmptyObject(request: { key: string; token: string }, options?: CallOptions): Promise<void> {
    return this.#metered('putEmptyObject', options, async () =>
      this.#bucket.putEmptyObject(request, options),
    );
  }

  async abortMultipartUpload(upload: MultipartUpload, options?: CallOptions): Promise<void> {
    return this.#metered('abortMultipartUpload', options, async () =>
      this.#bucket.abortMultipartUpload(upload, options),
    );
  }

  async head(key: string, options?: VersionOptions): Promise<ObjectFacts | undefined> {
    return this.#metered('head', options, async () => this.#bucket.head(key, options));
  }

  async deleteObject(key: string, options?: VersionOptions): Promise<void> {
    return this.#metered('deleteObject', options, async () => this.#bucket.deleteObject(key, options));
  }

  async signGet(request: { key: string; versionId: string | null; fileName: string }): Promise<string> {
    return this.#metered('signGet', undefined, async () => this.#bucket.signGet(request));
  }

  async ping(options?: CallOptions): Promise<void> {
    return this.#metered('ping', options, async () => this.#bucket.ping(options));
  }

  async #metered<T>(
    operation: BucketOperation,
    options: CallOptions | undefined,
    call: () => Promise<T>,
  ): Promise<T> {
    const started = performance.now();
    let outcome: BucketOutcome = 'ok';
    try {
      return await call();
    } catch (error) {
      outcome = outcomeOf(error, options);
      throw error;
    } finally {
      this.#observe(operation, outcome, secondsSince(started));
    }
  }
}

function outcomeOf(error: unknown, options: CallOptions | undefined): BucketOutcome {
  if (error instanceof BucketError) return error.kind;
  return options?.signal?.aborted === true ? 'aborted' : 'fault';
}

function secondsSince(started: number): number {
  return (performance.now() - started) / 1000;
}
