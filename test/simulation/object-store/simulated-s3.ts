import { randomUUID } from 'node:crypto';
import {
  type Bucket,
  type BucketCapabilities,
  BucketError,
  type CompletedPart,
  type ListedPart,
  type MultipartUpload,
  type ObjectFacts,
  type PartToSign,
  type PendingUpload,
  type SignedWindow,
} from '../../../packages/server/src/domain/ports/bucket.ts';
import type { Clock } from '../../../packages/server/src/domain/ports/clock.ts';
import { allCapabilities } from '../../doubles/fake-bucket.ts';
import { PartUrls } from './part-urls.ts';
import { S3Requests } from './s3-requests.ts';
import { type S3State, combinedCrc32 } from './s3-state.ts';
import { crc32Of, sizeBytesOf } from '../agent/simulated-file.ts';
import type { Coverage } from '../coverage.ts';
import type { InvariantChecker } from '../invariant-checker.ts';

interface S3Env {
  readonly clock: Clock;
  readonly coverage: Coverage;
  readonly checker: InvariantChecker;
  readonly random: () => number;
}

/** A store that stores what it is sent, enforces signatures, and loses only what a fault injects. */
export class SimulatedS3 implements Bucket {
  readonly name = 'model-bucket';
  readonly state: S3State;
  readonly requests: S3Requests;
  readonly urls: PartUrls;
  supports: BucketCapabilities = allCapabilities;
  readonly #clock: Clock;
  readonly #coverage: Coverage;
  readonly #checker: InvariantChecker;

  constructor(state: S3State, env: S3Env) {
    this.state = state;
    this.#clock = env.clock;
    this.#coverage = env.coverage;
    this.#checker = env.checker;
    this.requests = new S3Requests(env.coverage, env.random);
    this.urls = new PartUrls(this.state, this.requests, env);
  }

  async capabilities(): Promise<BucketCapabilities> {
    return this.supports;
  }

  createMultipartUpload({ key, token }: { key: string; token: string }): Promise<MultipartUpload> {
    return this.requests.send('create', () => {
      const s3UploadId = randomUUID();
      const initiatedAt = this.#clock.now();
      this.state.uploads.set(s3UploadId, { key, s3UploadId, token, initiatedAt, parts: new Map() });
      return { key, s3UploadId };
    });
  }

  async signParts(upload: MultipartUpload, parts: readonly PartToSign[]): Promise<SignedWindow> {
    return this.urls.sign(upload, parts);
  }

  listParts({ s3UploadId }: MultipartUpload): Promise<ListedPart[]> {
    return this.requests.send('listParts', () => {
      this.#assertSound(s3UploadId);
      const { parts } = this.#pending(s3UploadId);
      return [...parts].map(([partNumber, { etag, content }]) => ({
        partNumber,
        sizeBytes: sizeBytesOf(content),
        etag,
        crc32: crc32Of(content),
        sha256: null,
      }));
    });
  }

  completeMultipartUpload(
    { s3UploadId }: MultipartUpload,
    request: { parts: readonly CompletedPart[]; sizeBytes: number; crc32: string },
  ): Promise<void> {
    return this.requests.send('complete', () => {
      this.#assertSound(s3UploadId);
      const upload = this.#pending(s3UploadId);
      if (this.supports.conditionalComplete && this.state.objects.has(upload.key)) {
        throw new BucketError('object_exists', 'an object already exists at the key');
      }
      for (const { partNumber, etag } of request.parts) {
        if (upload.parts.get(partNumber)?.etag === etag) continue;
        this.#coverage.count('InvalidPart');
        throw new BucketError('invalid_parts', `part ${partNumber} is a different one (InvalidPart)`);
      }
      if (this.supports.fullObjectChecksum && combinedCrc32(upload) !== request.crc32) {
        throw new BucketError('checksum_mismatch', 'the parts have a different checksum');
      }
      const { serverSideEncryption, storageClass, fullObjectChecksum } = this.supports;
      const facts = { token: upload.token, versionId: null, serverSideEncryption, storageClass };
      const replaced = this.state.objects.get(upload.key);
      if (replaced !== undefined) this.#checker.onReplacement(upload.key, replaced);
      this.state.complete(upload, { ...facts, etag: `"${randomUUID()}"` }, fullObjectChecksum);
    });
  }

  putEmptyObject({ key, token }: { key: string; token: string }): Promise<void> {
    return this.requests.send('putEmpty', () => {
      const replaced = this.state.objects.get(key);
      if (this.supports.conditionalPut && replaced !== undefined) {
        throw new BucketError('object_exists', 'an object already exists at the key');
      }
      if (replaced !== undefined) this.#checker.onReplacement(key, replaced);
      const { serverSideEncryption, storageClass } = this.supports;
      this.state.putEmpty(key, {
        ...{ token, versionId: null, serverSideEncryption, storageClass, etag: `"${randomUUID()}"` },
      });
    });
  }

  async *listMultipartUploads(keyPrefix: string): AsyncIterable<PendingUpload> {
    yield* await this.requests.send('listUploads', () =>
      [...this.state.uploads.values(), ...this.state.leftovers.values()].filter(({ key }) =>
        key.startsWith(keyPrefix),
      ),
    );
  }

  abortMultipartUpload(upload: MultipartUpload): Promise<void> {
    return this.requests.send('abort', () => {
      this.#checker.onAbort(upload);
      this.state.abort(upload.s3UploadId);
    });
  }

  head(key: string): Promise<ObjectFacts | undefined> {
    return this.requests.send('head', () => this.state.objects.get(key)?.facts);
  }

  deleteObject(key: string): Promise<void> {
    return this.requests.send('delete', () => {
      this.#checker.onDeletion(key, this.state.objects.get(key));
      this.state.objects.delete(key);
    });
  }

  async signGet({ key }: { key: string }): Promise<string> {
    return `https://s3.test/${key}`;
  }

  ping(): Promise<void> {
    return this.requests.send('ping', () => undefined);
  }

  #assertSound(s3UploadId: string): void {
    if (!this.state.uploads.has(s3UploadId) || !this.state.broken.has(s3UploadId)) return;
    throw new BucketError('unavailable', '500, each time', { s3Code: 'InternalError' });
  }

  #pending(s3UploadId: string) {
    const upload = this.state.uploads.get(s3UploadId);
    if (upload === undefined) throw new BucketError('upload_gone', 'NoSuchUpload');
    return upload;
  }
}
