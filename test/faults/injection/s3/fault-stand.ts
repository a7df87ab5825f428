import { randomBytes } from 'node:crypto';
import {
  CompleteMultipartUploadCommand,
  type CompletedPart,
  CreateMultipartUploadCommand,
  ListPartsCommand,
  S3Client,
  UploadPartCommand,
} from '@aws-sdk/client-s3';
import { getSignedUrl } from '@aws-sdk/s3-request-presigner';
import { type S3Target, startS3Target } from '../../../harness/object-store.ts';
import { temporaryDirectory } from '../../../harness/temporary-directory.ts';
import type { StoreDouble } from '../stores/store-behaviour.ts';
import { S3FaultProxy } from './s3-fault-proxy.ts';

/** A store, a fault proxy in front of it, and a client of each, to observe a fault from both sides. */
export class FaultStand implements AsyncDisposable {
  readonly store: S3Target;
  readonly faults: S3FaultProxy;
  /** Client of the proxy that never retries. */
  readonly client: S3Client;
  readonly #cleanup: AsyncDisposable;

  private constructor(store: S3Target, faults: S3FaultProxy, cleanup: AsyncDisposableStack) {
    this.store = store;
    this.faults = faults;
    const { accessKeyId, secretAccessKey } = store;
    this.client = new S3Client({
      endpoint: faults.endpoint,
      region: 'us-east-1',
      forcePathStyle: true,
      credentials: { accessKeyId, secretAccessKey },
      requestChecksumCalculation: 'WHEN_REQUIRED',
      responseChecksumValidation: 'WHEN_REQUIRED',
      maxAttempts: 1,
    });
    cleanup.defer(() => this.client.destroy());
    this.#cleanup = cleanup.move();
  }

  /** @param double Permanent behaviour of the store. */
  static async start(double?: StoreDouble): Promise<FaultStand> {
    await using cleanup = new AsyncDisposableStack();
    const directory = cleanup.use(await temporaryDirectory());
    const store = cleanup.use(await startS3Target(directory.join('objects')));
    const target = { target: store.endpoint, behaviour: double?.(store) };
    const faults = cleanup.use(await S3FaultProxy.start(target));
    return new FaultStand(store, faults, cleanup.move());
  }

  /** Creates a multipart upload through the proxy. */
  async createUpload(key = `key-${randomBytes(4).toString('hex')}`): Promise<StandUpload> {
    const Bucket = this.store.bucket;
    const { UploadId } = await this.client.send(new CreateMultipartUploadCommand({ Bucket, Key: key }));
    if (UploadId === undefined) throw new Error('the store named no upload');
    return new StandUpload(this, { Bucket, Key: key, UploadId });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#cleanup[Symbol.asyncDispose]();
  }
}

export class StandUpload {
  readonly id: { readonly Bucket: string; readonly Key: string; readonly UploadId: string };
  readonly #stand: FaultStand;

  constructor(stand: FaultStand, id: StandUpload['id']) {
    this.#stand = stand;
    this.id = id;
  }

  /** Returns a URL for a PUT through the proxy. */
  async partUrl(partNumber: number): Promise<string> {
    const command = new UploadPartCommand({ ...this.id, PartNumber: partNumber });
    return await getSignedUrl(this.#stand.client, command, { expiresIn: 300 });
  }

  async putPart(partNumber: number, body: string | Buffer, signal?: AbortSignal): Promise<Response> {
    return await fetch(await this.partUrl(partNumber), {
      method: 'PUT',
      body: new Uint8Array(Buffer.from(body)),
      signal: signal ?? null,
    });
  }

  /** Completes the upload, by default with the parts that the store holds. */
  async complete(parts?: CompletedPart[]) {
    const Parts = parts ?? (await this.storedParts()).map(({ ETag, PartNumber }) => ({ ETag, PartNumber }));
    return await this.#stand.client.send(
      new CompleteMultipartUploadCommand({ ...this.id, MultipartUpload: { Parts } }),
    );
  }

  /** Lists the parts without using the proxy. */
  async storedParts() {
    const { Parts = [] } = await this.#stand.store.client.send(new ListPartsCommand(this.id));
    return Parts;
  }
}
