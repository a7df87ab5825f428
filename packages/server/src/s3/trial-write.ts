import { randomUUID } from 'node:crypto';
import {
  AbortMultipartUploadCommand,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  PutObjectCommand,
  type ServerSideEncryption,
  UploadPartCommand,
} from '@aws-sdk/client-s3';
import { BucketError, TRIAL_FOLDER } from '../domain/ports/bucket.ts';
import { keysUnder } from './lifecycle-rules.ts';
import { headObject } from './multipart-calls.ts';
import type { S3Connection } from './s3-connection.ts';

/** Writes to the bucket as its users do, and removes what it wrote. */
export class TrialWrite {
  readonly #connection: S3Connection;
  /** What could not be removed, in sentences. */
  readonly leftovers: string[] = [];

  constructor(connection: S3Connection) {
    this.#connection = connection;
  }

  /** A small object, and a part of a multipart upload. @returns why it failed; undefined if it did not. */
  async failure(): Promise<BucketError | undefined> {
    const { bucket: Bucket, keyPrefix, sse } = this.#connection.settings;
    const Key = `${keysUnder(keyPrefix)}${TRIAL_FOLDER}/${randomUUID()}`;
    // A policy may demand what a person has set; what is merely wished for other writers do not ask for.
    const encryption = sse.required && { ServerSideEncryption: sse.wanted as ServerSideEncryption };
    return (
      (await failureOf(this.#putObject({ Bucket, Key, ...encryption }))) ??
      (await failureOf(this.#putPart({ Bucket, Key, ...encryption })))
    );
  }

  async #putObject(place: Place): Promise<void> {
    const command = new PutObjectCommand({ ...place, Body: 'trial' });
    let versionId: string | undefined;
    try {
      const answer = await this.#connection.call('PutObject', (client, call) => client.send(command, call));
      versionId = answer.VersionId;
    } catch (error) {
      // After a fault or a lost response the object may be there all the same.
      if (error instanceof BucketError && error.kind === 'unavailable') {
        await this.#remove(place.Key, async () => {
          const found = await headObject(this.#connection, place.Key, {});
          if (found !== undefined) await this.#deleteObject(place, found.versionId ?? undefined);
        });
      }
      throw error;
    }
    await this.#remove(place.Key, () => this.#deleteObject(place, versionId));
  }

  async #deleteObject({ Bucket, Key }: Place, versionId: string | undefined): Promise<void> {
    // By its version: in a bucket with versions it would otherwise stay behind a delete marker.
    const command = new DeleteObjectCommand({
      Bucket,
      Key,
      ...(versionId !== undefined && { VersionId: versionId }),
    });
    await this.#connection.call('DeleteObject', (client, call) => client.send(command, call));
  }

  /** As agents do. */
  async #putPart({ Bucket, Key, ...encryption }: Place): Promise<void> {
    const connection = this.#connection;
    const create = new CreateMultipartUploadCommand({ Bucket, Key, ...encryption });
    const { UploadId } = await connection.call('CreateMultipartUpload', (client, call) =>
      client.send(create, call),
    );
    const upload = { Bucket, Key, UploadId };
    const part = new UploadPartCommand({ ...upload, PartNumber: 1, Body: 'trial' });
    const abort = new AbortMultipartUploadCommand(upload);
    try {
      await connection.call('UploadPart', (client, call) => client.send(part, call));
    } finally {
      await this.#remove(Key, async () => {
        await connection.call('AbortMultipartUpload', (client, call) => client.send(abort, call));
      });
    }
  }

  async #remove(key: string, remove: () => Promise<void>): Promise<void> {
    const failure = await failureOf(remove());
    if (failure !== undefined) this.leftovers.push(`"${key}" may still be there: ${failure.message}`);
  }
}

interface Place {
  readonly Bucket: string;
  readonly Key: string;
  readonly ServerSideEncryption?: ServerSideEncryption;
}

/** What a call failed with; undefined if it did not. */
export async function failureOf(call: Promise<void>): Promise<BucketError | undefined> {
  try {
    await call;
    return undefined;
  } catch (error) {
    if (error instanceof BucketError) return error;
    throw error;
  }
}
