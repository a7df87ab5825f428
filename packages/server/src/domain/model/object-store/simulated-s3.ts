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
} from '../../ports/bucket.ts';
import type { Clock } from '../../ports/clock.ts';
import { PartUrls } from './part-urls.ts';
import { S3Requests } from './s3-requests.ts';
import { type S3State, combinedCrc32 } from './s3-state.ts';
import { crc32Of, sizeBytesOf } from '../agent/simulated-file.ts';
import type { Tally } from '../tally.ts';
import type { Witness } from '../witness.ts';

interface S3Surroundings {
  readonly clock: Clock;
  readonly tally: Tally;
  readonly witness: Witness;
  readonly random: () => number;
}

/** A store that keeps what it is sent, enforces what was signed, and loses no more than a fault says. */
export class SimulatedS3 implements Bucket {
  readonly name = 'model-bucket';
  readonly state: S3State;
  readonly requests: S3Requests;
  readonly urls: PartUrls;
  honours: BucketCapabilities = {
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
  readonly #clock: Clock;
  readonly #tally: Tally;
  readonly #witness: Witness;

  constructor(state: S3State, world: S3Surroundings) {
    this.state = state;
    this.#clock = world.clock;
    this.#tally = world.tally;
    this.#witness = world.witness;
    this.requests = new S3Requests(world.tally, world.random);
    this.urls = new PartUrls(this.state, this.requests, world);
  }

  async capabilities(): Promise<BucketCapabilities> {
    return this.honours;
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
      if (this.honours.conditionalComplete && this.state.objects.has(upload.key)) {
        throw new BucketError('object_exists', 'something is at the key already');
      }
      for (const { partNumber, etag } of request.parts) {
        if (upload.parts.get(partNumber)?.etag === etag) continue;
        this.#tally.count('InvalidPart');
        throw new BucketError('invalid_parts', `part ${partNumber} is another (InvalidPart)`);
      }
      if (this.honours.fullObjectChecksum && combinedCrc32(upload) !== request.crc32) {
        throw new BucketError('checksum_mismatch', 'the parts have another checksum');
      }
      const { serverSideEncryption, storageClass, fullObjectChecksum } = this.honours;
      const facts = { token: upload.token, versionId: null, serverSideEncryption, storageClass };
      const replaced = this.state.objects.get(upload.key);
      if (replaced !== undefined) this.#witness.sawReplacement(upload.key, replaced);
      this.state.complete(upload, { ...facts, etag: `"${randomUUID()}"` }, fullObjectChecksum);
    });
  }

  putEmptyObject({ key, token }: { key: string; token: string }): Promise<void> {
    return this.requests.send('putEmpty', () => {
      const replaced = this.state.objects.get(key);
      if (this.honours.conditionalPut && replaced !== undefined) {
        throw new BucketError('object_exists', 'something is at the key already');
      }
      if (replaced !== undefined) this.#witness.sawReplacement(key, replaced);
      const { serverSideEncryption, storageClass } = this.honours;
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
      this.#witness.sawAbort(upload);
      this.state.abort(upload.s3UploadId);
    });
  }

  head(key: string): Promise<ObjectFacts | undefined> {
    return this.requests.send('head', () => this.state.objects.get(key)?.facts);
  }

  deleteObject(key: string): Promise<void> {
    return this.requests.send('delete', () => {
      this.#witness.sawDeletion(key, this.state.objects.get(key));
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
