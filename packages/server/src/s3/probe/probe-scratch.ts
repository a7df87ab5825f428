import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { ListMultipartUploadsCommand } from '@aws-sdk/client-s3';
import type { PresignedPart } from '@backhaul/protocol';
import {
  BucketError,
  type CallOptions,
  type CompletedPart,
  type ListedPart,
  type MultipartUpload,
  type ObjectFacts,
  type PartToSign,
  TRIAL_FOLDER,
} from '../../domain/ports/bucket.ts';
import {
  abortUpload,
  completeUpload,
  type Completion,
  createUpload,
  deleteObject,
  headObject,
  listParts,
  putEmptyObject,
  type UploadTraits,
} from '../object-calls.ts';
import type { S3Connection } from '../s3-connection.ts';
import { keysUnder } from '../s3-settings.ts';
import { putPresignedPart, type TrialBody, trialBody } from './trial-part.ts';

/** Signs for the endpoint that the server itself calls. */
export type SignPart = (
  upload: MultipartUpload,
  part: PartToSign,
  mode: UploadTraits['checksumMode'],
) => Promise<PresignedPart>;

const CLEANUP_TIMEOUT_MS = 10_000;
const UNCONFIRMED_PAUSE_MS = 500;
/** A transient failure of the store must neither disable a feature nor stop the start. */
const COMPLETE_TRIES = 3;

const METADATA_LOST =
  'The store drops the metadata of objects: HEAD of a trial object does not show the x-amz-meta-backhaul-token it was created with. The server identifies its own objects by it, so no upload could be completed. Enable metadata in the store (JuiceFS: start the gateway with --object-meta), or configure the proxy in front of it to pass on x-amz-meta-* headers.';

/** Uses no optional feature. */
export const plainTraits: UploadTraits = {
  checksumMode: 'none',
  fullObjectChecksum: false,
  serverSideEncryption: null,
  storageClass: null,
};

/** Checks of the store that a Complete requests. */
interface CompleteChecks {
  readonly onlyIfAbsent?: boolean;
  readonly objectSize?: boolean;
}

/** Temporary uploads and objects of one probe, all under one random key prefix. All are removed. */
export class ProbeScratch {
  readonly #connection: S3Connection;
  readonly #signPart: SignPart;
  readonly #callOptions: CallOptions;
  readonly #prefix: string;
  readonly #uploads = new Set<MultipartUpload>();
  /** Tokens of the newest upload or object of each key. */
  readonly #tokens = new Map<string, string>();
  readonly #keys = new Set<string>();
  readonly #versions: { key: string; versionId: string }[] = [];
  /** A Create without response may have taken effect, under an id that never arrived here. */
  #hasLostCreate = false;

  constructor(connection: S3Connection, signPart: SignPart, callOptions: CallOptions) {
    this.#connection = connection;
    this.#signPart = signPart;
    this.#callOptions = callOptions;
    this.#prefix = `${keysUnder(connection.settings.keyPrefix)}${TRIAL_FOLDER}/${randomUUID()}`;
  }

  /** @param name Name of the object within this probe. */
  async create(name: string, traits: UploadTraits): Promise<MultipartUpload> {
    const target = this.#target(name);
    try {
      const upload = await createUpload(this.#connection, { ...target, traits }, this.#callOptions);
      this.#uploads.add(upload);
      return upload;
    } catch (error) {
      if (!(error instanceof BucketError) || error.kind === 'unavailable') this.#hasLostCreate = true;
      throw error;
    }
  }

  /** PUTs `body` as part 1 by a URL bound to `boundTo`: the same bytes, or others of the same length. */
  async put(
    upload: MultipartUpload,
    mode: UploadTraits['checksumMode'],
    { body, boundTo = body }: { body: TrialBody; boundTo?: TrialBody },
  ): Promise<CompletedPart> {
    const part = { partNumber: 1, sizeBytes: boundTo.bytes.length, ...boundTo.checksums };
    const presigned = await this.#signPart(upload, part, mode);
    const etag = await putPresignedPart(this.#connection, presigned, {
      ...this.#callOptions,
      body: body.bytes,
    });
    return { partNumber: 1, etag, crc32: boundTo.checksums.crc32, sha256: boundTo.checksums.sha256 };
  }

  /** Retried like the other calls, unless it took effect and only the response was lost. */
  async complete(upload: MultipartUpload, completion: Completion): Promise<void> {
    const { baseDelayMs, deadlineMs } = this.#connection.timing.calls;
    const deadline = performance.now() + deadlineMs;
    for (let tries = 1; ; tries += 1) {
      try {
        this.#completed(
          upload,
          await completeUpload(this.#connection, { upload, completion }, this.#callOptions),
        );
        return;
      } catch (error) {
        if (!(error instanceof BucketError) || (error.kind !== 'unavailable' && tries === 1)) throw error;
        const made = await headObject(this.#connection, upload.key, this.#callOptions);
        if (made !== undefined && made.token === this.#tokens.get(upload.key)) {
          this.#completed(upload, made.versionId);
          return;
        }
        const isLast = tries >= COMPLETE_TRIES || performance.now() >= deadline;
        if (error.kind !== 'unavailable' || isLast) throw error;
      }
      await sleep(baseDelayMs * 4 ** tries, undefined, { signal: this.#callOptions.signal });
    }
  }

  #completed(upload: MultipartUpload, versionId: string | null): void {
    this.#uploads.delete(upload);
    if (versionId !== null) this.#versions.push({ key: upload.key, versionId });
  }

  /** @throws BucketError `refused` when the object does not carry the token that it was given. */
  async head(upload: Pick<MultipartUpload, 'key'>): Promise<ObjectFacts | undefined> {
    const facts = await headObject(this.#connection, upload.key, this.#callOptions);
    if (facts !== undefined && facts.token !== this.#tokens.get(upload.key)) {
      throw new BucketError('refused', METADATA_LOST);
    }
    return facts;
  }

  /** @param name Name of the object within this probe. */
  async putEmpty(
    name: string,
    request: { traits: UploadTraits; withCrc32: boolean; onlyIfAbsent: boolean },
  ): Promise<Pick<MultipartUpload, 'key'>> {
    const target = this.#target(name);
    const versionId = await putEmptyObject(this.#connection, { ...target, ...request }, this.#callOptions);
    if (versionId !== null) this.#versions.push({ key: target.key, versionId });
    return target;
  }

  async listParts(upload: MultipartUpload): Promise<ListedPart[]> {
    return listParts(this.#connection, upload, this.#callOptions);
  }

  /**
   * Runs one whole trial upload: create, one part, complete, HEAD.
   *
   * @throws BucketError
   */
  async completeOne(
    name: string,
    traits: UploadTraits,
    { onlyIfAbsent = false, objectSize = false }: CompleteChecks = {},
  ): Promise<ObjectFacts> {
    const body = trialBody();
    const upload = await this.create(name, traits);
    const part = await this.put(upload, traits.checksumMode, { body });
    await this.complete(upload, {
      parts: [part],
      checksumMode: traits.checksumMode,
      fullObjectCrc32: traits.fullObjectChecksum ? body.checksums.crc32 : null,
      objectSizeBytes: objectSize ? body.bytes.length : null,
      onlyIfAbsent,
    });
    const facts = await this.head(upload);
    if (facts === undefined || facts.sizeBytes !== body.bytes.length) {
      throw new BucketError(
        'refused',
        'The store completed an upload, but HEAD does not show the object. Is S3_ENDPOINT an S3 store?',
      );
    }
    return facts;
  }

  /** Runs a whole upload without optional features: create, one part, complete. */
  async plainUpload(): Promise<void> {
    const upload = await this.create('plain', plainTraits);
    const part = await this.put(upload, 'none', { body: trialBody() });
    await this.complete(upload, {
      parts: [part],
      checksumMode: 'none',
      fullObjectCrc32: null,
      objectSizeBytes: null,
      onlyIfAbsent: false,
    });
  }

  /**
   * The reason why the store does not support the call; null if it does. A store that fails repeatedly with a server
   * error but accepts a plain upload right afterwards does not support the feature.
   *
   * @throws BucketError `unavailable` when plain uploads fail too.
   */
  async refusalOf(call: Promise<unknown>): Promise<BucketError | null> {
    try {
      await call;
      return null;
    } catch (error) {
      if (!(error instanceof BucketError)) throw error;
      if (error.kind !== 'unavailable') return error;
      await this.plainUpload();
      const message = `${error.message} Without it, the store accepts uploads.`;
      return new BucketError('refused', message, { cause: error, s3Code: error.s3Code });
    }
  }

  #target(name: string): { key: string; token: string } {
    const key = `${this.#prefix}/${name}`;
    const token = `probe-${randomUUID()}`;
    this.#keys.add(key);
    this.#tokens.set(key, token);
    return { key, token };
  }

  /** Removes everything, with a timeout of its own. @returns the first failure, if something may be left. */
  async clean(): Promise<unknown> {
    const options = { signal: AbortSignal.timeout(CLEANUP_TIMEOUT_MS) };
    const outcomes = [
      ...(await Promise.allSettled(
        [...this.#uploads].map(async (upload) => abortUpload(this.#connection, upload, options)),
      )),
      ...(await Promise.allSettled([
        ...this.#versions.map(async ({ key, versionId }) => this.#delete(key, versionId, options)),
        // Includes keys whose Complete was refused: the refusal may have been wrong.
        ...[...this.#keys]
          .filter((key) => !this.#versions.some((version) => version.key === key))
          .map(async (key) => this.#delete(key, undefined, options)),
      ])),
    ];
    if (this.#hasLostCreate) outcomes.push(...(await Promise.allSettled([this.#abortUnconfirmed(options)])));
    const failed = outcomes.find((outcome) => outcome.status === 'rejected');
    return failed?.reason;
  }

  async #abortUnconfirmed(options: CallOptions): Promise<void> {
    const { bucket } = this.#connection.settings;
    const command = new ListMultipartUploadsCommand({ Bucket: bucket, Prefix: this.#prefix });
    // A cut-off request may still be executed a moment later.
    for (const pauseMs of [0, UNCONFIRMED_PAUSE_MS]) {
      await sleep(pauseMs, undefined, options);
      const { Uploads = [] } = await this.#connection.send('ListMultipartUploads', command, options);
      await Promise.all(
        Uploads.map(async ({ Key: key = '', UploadId: s3UploadId = '' }) =>
          abortUpload(this.#connection, { key, s3UploadId }, options),
        ),
      );
    }
  }

  async #delete(key: string, versionId: string | undefined, options: CallOptions): Promise<void> {
    if (versionId === undefined && (await headObject(this.#connection, key, options)) === undefined) return;
    await deleteObject(this.#connection, key, { ...options, versionId });
  }
}
