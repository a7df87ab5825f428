import { randomUUID } from 'node:crypto';
import {
  AbortMultipartUploadCommand,
  CreateMultipartUploadCommand,
  PutObjectCommand,
  type ServerSideEncryption,
  UploadPartCommand,
} from '@aws-sdk/client-s3';
import { BucketError, TRIAL_FOLDER } from '../../domain/ports/bucket.ts';
import { deleteObject, headObject } from '../object-calls.ts';
import type { S3Connection } from '../s3-connection.ts';
import { keysUnder } from '../s3-settings.ts';

/** Writes to the bucket as server and agents do, and removes what it wrote. */
export class TrialWrite {
  readonly #connection: S3Connection;
  /** Sentences about objects that could not be removed. */
  readonly leftovers: string[] = [];

  constructor(connection: S3Connection) {
    this.#connection = connection;
  }

  /** Writes a small object and a part of a multipart upload. @returns the error; undefined if both succeed. */
  async failure(): Promise<BucketError | undefined> {
    const { bucket: Bucket, keyPrefix, sse } = this.#connection.settings;
    const Key = `${keysUnder(keyPrefix)}${TRIAL_FOLDER}/${randomUUID()}`;
    // A policy may require encryption that is explicitly set; other writers do not send optional features.
    const encryption = sse.required && { ServerSideEncryption: sse.wanted as ServerSideEncryption };
    return (
      (await failureOf(this.#putObject({ Bucket, Key, ...encryption }))) ??
      (await failureOf(this.#putPart({ Bucket, Key, ...encryption })))
    );
  }

  async #putObject(target: WriteTarget): Promise<void> {
    const command = new PutObjectCommand({ ...target, Body: 'trial' });
    let versionId: string | undefined;
    try {
      const response = await this.#connection.send('PutObject', command);
      versionId = response.VersionId;
    } catch (error) {
      // After an error or a lost response the object may still exist.
      if (error instanceof BucketError && error.kind === 'unavailable') {
        await this.#remove(target.Key, async () => {
          const found = await headObject(this.#connection, target.Key, {});
          if (found !== undefined)
            await deleteObject(this.#connection, target.Key, { versionId: found.versionId });
        });
      }
      throw error;
    }
    // The version: in a versioned bucket it would otherwise remain behind a delete marker.
    await this.#remove(target.Key, () => deleteObject(this.#connection, target.Key, { versionId }));
  }

  /** Sends a part as agents do. */
  async #putPart({ Bucket, Key, ...encryption }: WriteTarget): Promise<void> {
    const connection = this.#connection;
    const create = new CreateMultipartUploadCommand({ Bucket, Key, ...encryption });
    const { UploadId } = await connection.send('CreateMultipartUpload', create);
    const upload = { Bucket, Key, UploadId };
    const part = new UploadPartCommand({ ...upload, PartNumber: 1, Body: 'trial' });
    const abort = new AbortMultipartUploadCommand(upload);
    try {
      await connection.send('UploadPart', part);
    } finally {
      await this.#remove(Key, async () => {
        await connection.send('AbortMultipartUpload', abort);
      });
    }
  }

  async #remove(key: string, remove: () => Promise<void>): Promise<void> {
    const failure = await failureOf(remove());
    if (failure !== undefined) this.leftovers.push(`"${key}" may still exist: ${failure.message}`);
  }
}

interface WriteTarget {
  readonly Bucket: string;
  readonly Key: string;
  readonly ServerSideEncryption?: ServerSideEncryption;
}

/** The error of a call; undefined if it succeeded. */
export async function failureOf(call: Promise<void>): Promise<BucketError | undefined> {
  try {
    await call;
    return undefined;
  } catch (error) {
    if (error instanceof BucketError) return error;
    throw error;
  }
}
