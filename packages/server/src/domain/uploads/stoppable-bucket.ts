import type { ChecksumMode } from '@backhaul/protocol';
import type {
  Bucket,
  BucketCapabilities,
  CallOptions,
  ListedPart,
  MultipartUpload,
  ObjectFacts,
  PartToSign,
  PendingUpload,
  SignedWindow,
  VersionOptions,
} from '../ports/bucket.ts';

/** Wraps a bucket so that all calls abort when `stop` aborts, in addition to their own signal. */
export class StoppableBucket implements Bucket {
  readonly #bucket: Bucket;
  readonly #stop: AbortSignal;

  constructor(bucket: Bucket, stop: AbortSignal) {
    this.#bucket = bucket;
    this.#stop = stop;
  }

  get name(): string {
    return this.#bucket.name;
  }

  async capabilities(options?: CallOptions): Promise<BucketCapabilities> {
    return this.#bucket.capabilities(this.#stoppable(options));
  }

  async createMultipartUpload(
    request: { key: string; token: string; checksumMode: ChecksumMode },
    options?: CallOptions,
  ): Promise<MultipartUpload> {
    return this.#bucket.createMultipartUpload(request, this.#stoppable(options));
  }

  /** Local, so there is nothing to stop. */
  signParts(
    upload: MultipartUpload,
    parts: readonly PartToSign[],
    mode: ChecksumMode,
  ): Promise<SignedWindow> {
    return this.#bucket.signParts(upload, parts, mode);
  }

  async listParts(upload: MultipartUpload, options?: CallOptions): Promise<ListedPart[]> {
    return this.#bucket.listParts(upload, this.#stoppable(options));
  }

  async completeMultipartUpload(
    upload: MultipartUpload,
    request: Parameters<Bucket['completeMultipartUpload']>[1],
    options?: CallOptions,
  ): Promise<void> {
    return this.#bucket.completeMultipartUpload(upload, request, this.#stoppable(options));
  }

  async putEmptyObject(request: { key: string; token: string }, options?: CallOptions): Promise<void> {
    return this.#bucket.putEmptyObject(request, this.#stoppable(options));
  }

  listMultipartUploads(keyPrefix: string, options?: CallOptions): AsyncIterable<PendingUpload> {
    return this.#bucket.listMultipartUploads(keyPrefix, this.#stoppable(options));
  }

  async abortMultipartUpload(upload: MultipartUpload, options?: CallOptions): Promise<void> {
    return this.#bucket.abortMultipartUpload(upload, this.#stoppable(options));
  }

  async head(key: string, options?: VersionOptions): Promise<ObjectFacts | undefined> {
    return this.#bucket.head(key, { ...options, ...this.#stoppable(options) });
  }

  async deleteObject(key: string, options?: VersionOptions): Promise<void> {
    return this.#bucket.deleteObject(key, { ...options, ...this.#stoppable(options) });
  }

  signGet(request: { key: string; versionId: string | null; fileName: string }): Promise<string> {
    return this.#bucket.signGet(request);
  }

  async ping(options?: CallOptions): Promise<void> {
    return this.#bucket.ping(this.#stoppable(options));
  }

  #stoppable({ signal }: CallOptions = {}): CallOptions {
    return { signal: signal === undefined ? this.#stop : AbortSignal.any([signal, this.#stop]) };
  }
}
