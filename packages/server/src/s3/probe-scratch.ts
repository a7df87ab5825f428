import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { DeleteObjectCommand } from '@aws-sdk/client-s3';
import type { PresignedPart } from '@backhaul/protocol';
import {
  BucketError,
  type CallOptions,
  type CompletedPart,
  type MultipartUpload,
  type ObjectFacts,
  type PartToSign,
  TRIAL_FOLDER,
} from '../domain/ports/bucket.ts';
import {
  abortUpload,
  type Completion,
  completeUpload,
  createUpload,
  headObject,
  type UploadTraits,
} from './multipart-calls.ts';
import { putPresignedPart } from './put-presigned-part.ts';
import type { S3Connection } from './s3-connection.ts';

/** Signs for the endpoint that the server itself calls. */
export type SignPart = (
  upload: MultipartUpload,
  part: PartToSign,
  mode: UploadTraits['checksumMode'],
) => Promise<PresignedPart>;

const CLEANUP_TIMEOUT_MS = 10_000;

/** Throw-away uploads and objects of one probe, all under one random key, and none of them left behind. */
export class ProbeScratch {
  readonly #connection: S3Connection;
  readonly #signPart: SignPart;
  readonly #callOptions: CallOptions;
  readonly #prefix: string;
  readonly #uploads = new Set<MultipartUpload>();
  readonly #keys = new Set<string>();
  readonly #versions: { key: string; versionId: string }[] = [];

  constructor(connection: S3Connection, signPart: SignPart, callOptions: CallOptions) {
    this.#connection = connection;
    this.#signPart = signPart;
    this.#callOptions = callOptions;
    const { keyPrefix } = connection.settings;
    this.#prefix = `${keyPrefix === '' ? '' : `${keyPrefix}/`}${TRIAL_FOLDER}/${randomUUID()}`;
  }

  /** @param name The object's, within this probe. */
  async create(name: string, traits: UploadTraits): Promise<MultipartUpload> {
    const key = `${this.#prefix}/${name}`;
    this.#keys.add(key);
    const upload = await createUpload(
      this.#connection,
      { key, token: `probe-${randomUUID()}`, traits },
      this.#callOptions,
    );
    this.#uploads.add(upload);
    return upload;
  }

  /** PUTs `body` as part 1 by a URL that is bound to `boundTo`: the same bytes, or others of the same length. */
  async put(
    upload: MultipartUpload,
    mode: UploadTraits['checksumMode'],
    { body, boundTo = body }: { body: ProbeBody; boundTo?: ProbeBody },
  ): Promise<CompletedPart> {
    const part = { partNumber: 1, sizeBytes: boundTo.bytes.length, ...boundTo.checksums };
    const presigned = await this.#signPart(upload, part, mode);
    const etag = await putPresignedPart(this.#connection, presigned, {
      ...this.#callOptions,
      body: body.bytes,
    });
    return { partNumber: 1, etag, crc32: boundTo.checksums.crc32, sha256: boundTo.checksums.sha256 };
  }

  async complete(upload: MultipartUpload, completion: Completion): Promise<void> {
    const versionId = await completeUpload(this.#connection, { upload, completion }, this.#callOptions);
    this.#uploads.delete(upload);
    if (versionId !== null) this.#versions.push({ key: upload.key, versionId });
  }

  async head(upload: MultipartUpload): Promise<ObjectFacts | undefined> {
    return headObject(this.#connection, upload.key, this.#callOptions);
  }

  /** Removes all of it, on a deadline of its own. @returns the first failure, if something may be left. */
  async clean(): Promise<unknown> {
    const options = { signal: AbortSignal.timeout(CLEANUP_TIMEOUT_MS) };
    const outcomes = [
      ...(await Promise.allSettled(
        [...this.#uploads].map(async (upload) => abortUpload(this.#connection, upload, options)),
      )),
      ...(await Promise.allSettled([
        ...this.#versions.map(async ({ key, versionId }) => this.#delete(key, versionId, options)),
        // Also where Complete was refused: its refusal may have been a lie.
        ...[...this.#keys]
          .filter((key) => !this.#versions.some((version) => version.key === key))
          .map(async (key) => this.#delete(key, undefined, options)),
      ])),
    ];
    const failed = outcomes.find((outcome) => outcome.status === 'rejected');
    return failed?.reason;
  }

  async #delete(key: string, versionId: string | undefined, options: CallOptions): Promise<void> {
    if (versionId === undefined && (await headObject(this.#connection, key, options)) === undefined) return;
    const command = new DeleteObjectCommand({
      Bucket: this.#connection.settings.bucket,
      Key: key,
      ...(versionId !== undefined && { VersionId: versionId }),
    });
    await this.#connection.call('DeleteObject', (client, call) => client.send(command, call), options);
  }
}

export interface ProbeBody {
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly checksums: { readonly crc32: string; readonly sha256: string; readonly md5: string };
}

/** Random, so that no two are alike; all of one length, so that only checksums tell them apart. */
export function probeBody(): ProbeBody {
  const bytes = new Uint8Array(randomBytes(64));
  const crc = Buffer.alloc(4);
  crc.writeUInt32BE(crc32(bytes));
  return {
    bytes,
    checksums: {
      crc32: crc.toString('base64'),
      sha256: createHash('sha256').update(bytes).digest('base64'),
      md5: createHash('md5').update(bytes).digest('base64'),
    },
  };
}

/** The store answered and will not do it; anything else that goes wrong stops the probe. */
export async function refusalOf(call: Promise<unknown>): Promise<BucketError | null> {
  try {
    await call;
    return null;
  } catch (error) {
    if (error instanceof BucketError && error.kind !== 'unavailable') return error;
    throw error;
  }
}
