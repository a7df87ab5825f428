import { randomUUID } from 'node:crypto';
import type { ChecksumMode } from '@backhaul/protocol';
import {
  type Bucket,
  type BucketCapabilities,
  BucketError,
  type BucketErrorKind,
  type CallOptions,
  type CompletedPart,
  type ListedPart,
  type MultipartUpload,
  type ObjectFacts,
  type PartToSign,
  type PendingUpload,
  type SignedWindow,
  type VersionOptions,
} from '../../packages/server/src/domain/ports/bucket.ts';
import type { Clock } from '../../packages/server/src/domain/ports/clock.ts';
import { combineCrc32 } from '../../packages/server/src/domain/uploads/expected-object.ts';

type Operation =
  | 'capabilities'
  | 'createMultipartUpload'
  | 'signParts'
  | 'listParts'
  | 'completeMultipartUpload'
  | 'putEmptyObject'
  | 'listMultipartUploads'
  | 'abortMultipartUpload'
  | 'head'
  | 'deleteObject'
  | 'signGet'
  | 'ping';

interface Fault {
  readonly kind: BucketErrorKind;
  /** The request takes effect and only its response gets lost. */
  readonly afterEffect: boolean;
  readonly s3Code: string | null;
  times: number;
}

interface FakeUpload extends PendingUpload {
  readonly token: string;
  /** Parts that URLs were signed for. */
  readonly signed: Map<number, ListedPart>;
  /** Parts that were PUT. */
  readonly parts: Map<number, ListedPart>;
}

/** Lifetime of its URLs, in milliseconds. */
export const URL_LIFETIME_MS = 900_000;

/** Of a store that supports every feature, in a bucket without default encryption. */
export const allCapabilities: BucketCapabilities = {
  checksumMode: 'crc32',
  fullObjectChecksum: true,
  conditionalComplete: true,
  objectSizeCheck: true,
  partProof: 'checksum',
  conditionalPut: true,
  emptyObjectCrc32: true,
  serverSideEncryption: null,
  storageClass: null,
};

/** An in-memory bucket with the faults that stores have. It contains the parts that a test puts there. */
export class FakeBucket implements Bucket {
  readonly name = 'fake-bucket';
  readonly objects = new Map<string, ObjectFacts>();
  /** For versioned buckets: versions that are no longer current, by key. */
  readonly olderVersions = new Map<string, ObjectFacts[]>();
  readonly uploads = new Map<string, FakeUpload>();
  /** Operations that reached the store, in sequence, including failed ones. */
  readonly calls: { readonly operation: Operation; readonly subject: string }[] = [];
  /** Faults that took effect. */
  faultsFired = 0;
  readonly aborted: string[] = [];
  supports: BucketCapabilities = { ...allCapabilities, serverSideEncryption: 'AES256' };
  /** Changes the object that the store completes; a correct store leaves it unchanged. */
  distort: (facts: ObjectFacts) => ObjectFacts = (facts) => facts;
  readonly #clock: Clock;
  /** Multipart uploads that can be neither listed nor completed, with S3's code. */
  readonly #broken = new Map<string, string | null>();
  #breaksNext = false;
  readonly #faults = new Map<Operation, Fault[]>();
  readonly #holds = new Map<Operation, Promise<void>>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Makes the next `times` calls of this operation fail. */
  fail(
    operation: Operation,
    kind: BucketErrorKind,
    options: { times?: number; afterEffect?: boolean; s3Code?: string } = {},
  ): void {
    const faults = this.#faults.get(operation) ?? [];
    const { afterEffect = false, s3Code = null, times = 1 } = options;
    faults.push({ kind, afterEffect, s3Code, times });
    this.#faults.set(operation, faults);
  }

  /** From now on this multipart upload can be neither listed nor completed, while others can. */
  breakUpload(s3UploadId: string | null, s3Code: string | null = 'InternalError'): void {
    this.#broken.set(s3UploadId ?? '', s3Code);
  }

  /** Like {@link breakUpload}, for the next multipart upload that is created and signed for. */
  breakNextUpload(): void {
    this.#breaksNext = true;
  }

  /** Lets an earlier Complete take effect. */
  completeLate(s3UploadId: string | null): void {
    const pending = this.uploads.get(s3UploadId ?? '');
    if (pending !== undefined) this.#complete(pending, [...pending.parts.values()]);
  }

  /** Clears all pending faults. */
  recover(): void {
    this.#faults.clear();
  }

  /** Makes calls of this operation wait. @returns a function that releases them. */
  hold(operation: Operation): () => void {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#holds.set(operation, promise);
    return () => {
      this.#holds.delete(operation);
      resolve();
    };
  }

  /**
   * Sends a part by the URL that was signed for it.
   *
   * @param fields Attributes that the store then has, or lists, differently from what was signed.
   */
  put(s3UploadId: string | null, partNumber: number, fields: Partial<ListedPart> = {}): void {
    const pending = this.uploads.get(s3UploadId ?? '');
    const signed = pending?.signed.get(partNumber);
    if (pending === undefined || signed === undefined) {
      throw new Error(`part ${partNumber} was not signed for, or its multipart upload no longer exists`);
    }
    pending.parts.set(partNumber, { ...signed, ...fields });
  }

  /** Another program, or a lifecycle rule, removes unfinished multipart uploads. */
  loseUploads(): void {
    this.uploads.clear();
  }

  count(operation: Operation): number {
    return this.calls.filter((call) => call.operation === operation).length;
  }

  capabilities(options: CallOptions = {}): Promise<BucketCapabilities> {
    return this.#call('capabilities', '', options, () => this.supports);
  }

  createMultipartUpload(
    request: { key: string; token: string; checksumMode: ChecksumMode },
    options: CallOptions = {},
  ): Promise<MultipartUpload> {
    const { key, token } = request;
    return this.#call('createMultipartUpload', key, options, () => {
      const s3UploadId = randomUUID();
      this.uploads.set(s3UploadId, {
        key,
        s3UploadId,
        token,
        initiatedAt: this.#clock.now(),
        signed: new Map(),
        parts: new Map(),
      });
      return { key, s3UploadId };
    });
  }

  signParts(
    upload: MultipartUpload,
    parts: readonly PartToSign[],
    mode: ChecksumMode,
  ): Promise<SignedWindow> {
    return this.#call('signParts', upload.key, {}, () => {
      if (this.#breaksNext) this.breakUpload(upload.s3UploadId);
      this.#breaksNext = false;
      const pending = this.uploads.get(upload.s3UploadId);
      for (const { partNumber, sizeBytes, crc32, sha256 } of parts) {
        const etag = etagOf(partNumber, crc32);
        pending?.signed.set(partNumber, { partNumber, sizeBytes, etag, crc32, sha256: sha256 ?? null });
      }
      const urls = parts.map(({ partNumber, crc32 }) => ({
        part_number: partNumber,
        url: `https://store.test/${upload.key}?partNumber=${partNumber}&mode=${mode}`,
        headers: { 'x-amz-checksum-crc32': crc32 },
      }));
      return { urls, expiresAt: this.#clock.now() + URL_LIFETIME_MS };
    });
  }

  listParts(upload: MultipartUpload, options: CallOptions = {}): Promise<ListedPart[]> {
    return this.#call('listParts', upload.key, options, () => {
      this.#assertSound(upload, 'listParts');
      const pending = this.uploads.get(upload.s3UploadId);
      if (pending === undefined) throw missingUpload();
      return [...pending.parts.values()].toSorted((a, b) => a.partNumber - b.partNumber);
    });
  }

  completeMultipartUpload(
    upload: MultipartUpload,
    request: { parts: readonly CompletedPart[]; sizeBytes: number; crc32: string },
    options: CallOptions = {},
  ): Promise<void> {
    return this.#call('completeMultipartUpload', upload.key, options, () => {
      this.#assertSound(upload, 'completeMultipartUpload');
      const pending = this.uploads.get(upload.s3UploadId);
      if (pending === undefined) throw missingUpload();
      if (this.supports.conditionalComplete && this.objects.has(upload.key)) {
        throw new BucketError('object_exists', 'an object already exists at the key');
      }
      const parts = request.parts.map(({ partNumber, etag, crc32 }) => {
        const part = pending.parts.get(partNumber);
        if (part?.etag !== etag)
          throw new BucketError('invalid_parts', `part ${partNumber} is not the one sent`);
        return { ...part, crc32: part.crc32 ?? crc32 };
      });
      this.#complete(pending, parts);
    });
  }

  putEmptyObject({ key, token }: { key: string; token: string }, options: CallOptions = {}): Promise<void> {
    return this.#call('putEmptyObject', key, options, () => {
      if (this.supports.conditionalPut && this.objects.has(key)) {
        throw new BucketError('object_exists', 'an object already exists at the key');
      }
      const facts: ObjectFacts = {
        sizeBytes: 0,
        etag: '"empty"',
        versionId: null,
        token,
        crc32: this.supports.emptyObjectCrc32 ? combineCrc32([]) : null,
        serverSideEncryption: this.supports.serverSideEncryption,
        storageClass: this.supports.storageClass,
      };
      this.objects.set(key, this.distort(facts));
    });
  }

  #complete({ s3UploadId, key, token }: FakeUpload, parts: readonly ListedPart[]): void {
    this.uploads.delete(s3UploadId);
    const facts: ObjectFacts = {
      sizeBytes: parts.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
      etag: `"object-${parts.length}"`,
      versionId: null,
      token,
      crc32: this.supports.fullObjectChecksum
        ? combineCrc32(parts.map(({ sizeBytes, crc32 }) => ({ sizeBytes, crc32: crc32 ?? '' })))
        : null,
      serverSideEncryption: this.supports.serverSideEncryption,
      storageClass: this.supports.storageClass,
    };
    this.objects.set(key, this.distort(facts));
  }

  #assertSound({ s3UploadId }: MultipartUpload, operation: Operation): void {
    const s3Code = this.#broken.get(s3UploadId);
    if (s3Code === undefined) return;
    throw new BucketError('unavailable', `${operation}: 500, each time`, { s3Code });
  }

  async *listMultipartUploads(keyPrefix: string, options: CallOptions = {}): AsyncIterable<PendingUpload> {
    const found = await this.#call('listMultipartUploads', keyPrefix, options, () =>
      [...this.uploads.values()].filter(({ key }) => key.startsWith(keyPrefix)),
    );
    yield* found;
  }

  abortMultipartUpload(upload: MultipartUpload, options: CallOptions = {}): Promise<void> {
    return this.#call('abortMultipartUpload', upload.key, options, () => {
      this.uploads.delete(upload.s3UploadId);
      this.aborted.push(upload.s3UploadId);
    });
  }

  head(key: string, options: VersionOptions = {}): Promise<ObjectFacts | undefined> {
    return this.#call('head', key, options, () => {
      const current = this.objects.get(key);
      const versionId = options.versionId ?? current?.versionId;
      if (versionId === undefined || versionId === current?.versionId) return current;
      return this.olderVersions.get(key)?.find((version) => version.versionId === versionId);
    });
  }

  deleteObject(key: string, { versionId = null, ...options }: VersionOptions = {}): Promise<void> {
    return this.#call('deleteObject', key, options, () => {
      const older = this.olderVersions.get(key) ?? [];
      this.olderVersions.set(
        key,
        older.filter((version) => version.versionId !== versionId),
      );
      if (versionId === null || this.objects.get(key)?.versionId === versionId) this.objects.delete(key);
    });
  }

  /** In a versioned bucket: deletes the key or overwrites it. */
  supersede(key: string, next?: ObjectFacts): void {
    const current = this.objects.get(key);
    if (current !== undefined) this.olderVersions.set(key, [...(this.olderVersions.get(key) ?? []), current]);
    if (next === undefined) this.objects.delete(key);
    else this.objects.set(key, next);
  }

  signGet({ key, versionId }: { key: string; versionId: string | null }): Promise<string> {
    const version = versionId === null ? '' : `&versionId=${versionId}`;
    return this.#call('signGet', key, {}, () => `https://store.test/${key}?get${version}`);
  }

  ping(options: CallOptions = {}): Promise<void> {
    return this.#call('ping', '', options, () => undefined);
  }

  async #call<Result>(
    operation: Operation,
    subject: string,
    { signal }: CallOptions,
    effect: () => Result,
  ): Promise<Result> {
    signal?.throwIfAborted();
    this.calls.push({ operation, subject });
    const held = this.#holds.get(operation);
    if (held !== undefined) await orAborted(held, signal);
    const fault = this.#takeFault(operation);
    if (fault?.afterEffect === false) throw failure(fault, operation);
    const result = effect();
    if (fault !== undefined) throw failure(fault, operation);
    return result;
  }

  #takeFault(operation: Operation): Fault | undefined {
    const fault = this.#faults.get(operation)?.find(({ times }) => times > 0);
    if (fault === undefined) return undefined;
    fault.times -= 1;
    this.faultsFired += 1;
    return fault;
  }
}

/** The ETag that this store gives a part. */
export function etagOf(partNumber: number, crc32: string): string {
  return `"${partNumber}-${crc32}"`;
}

function missingUpload(): BucketError {
  return new BucketError('upload_gone', 'the multipart upload no longer exists (NoSuchUpload)');
}

function failure({ kind, s3Code }: Fault, operation: Operation): BucketError {
  return new BucketError(kind, `${operation}: ${kind}, injected by the test`, { s3Code });
}

async function orAborted(wait: Promise<void>, signal: AbortSignal | undefined): Promise<void> {
  const { promise, reject } = Promise.withResolvers<never>();
  const onAbort = (): void => reject(new BucketError('unavailable', 'the call was aborted'));
  signal?.addEventListener('abort', onAbort);
  try {
    await Promise.race([wait, promise]);
  } finally {
    signal?.removeEventListener('abort', onAbort);
  }
}
