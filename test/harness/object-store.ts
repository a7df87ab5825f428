import { randomBytes } from 'node:crypto';
import {
  AbortMultipartUploadCommand,
  CreateBucketCommand,
  DeleteBucketCommand,
  DeleteObjectCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  S3Client,
} from '@aws-sdk/client-s3';
import { EmbeddedStore } from './embedded-store.ts';

/** A store and a bucket to test with. */
export interface S3Target extends AsyncDisposable {
  readonly endpoint: string;
  readonly bucket: string;
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  /** Whether this is the embedded store, which supports more than others do. */
  readonly isEmbedded: boolean;
  /** The embedded store, to stop and restart it; undefined if `isEmbedded` is false. */
  readonly embedded: EmbeddedStore | undefined;
  /** A client with SDK settings that every store accepts. */
  readonly client: S3Client;
}

export interface S3TargetOptions {
  /** Path of the access log; only stores of this repository write one. */
  readonly accessLog?: string;
  /** Runs the embedded store from the output of `npm run build`; by default from its sources. */
  readonly compiled?: boolean;
}

/** Whether tests run on an external store, which they cannot stop. */
export function hasExternalStore(): boolean {
  return externalEndpoint() !== undefined;
}

function externalEndpoint(): string | undefined {
  return process.env['S3_TEST_ENDPOINT'] || undefined;
}

/**
 * Uses the store at `S3_TEST_ENDPOINT` (with `S3_TEST_ACCESS_KEY` and `S3_TEST_SECRET_KEY`) and creates a bucket for
 * each caller; without it, starts the embedded store in the caller's directory.
 */
export async function startS3Target(
  dataDirectory: string,
  { accessLog, compiled = false }: S3TargetOptions = {},
): Promise<S3Target> {
  const bucket = `test-${Date.now().toString(36)}-${randomBytes(4).toString('hex')}`;
  const external = externalEndpoint();
  if (external !== undefined) {
    const accessKeyId = process.env['S3_TEST_ACCESS_KEY'] ?? '';
    const secretAccessKey = process.env['S3_TEST_SECRET_KEY'] ?? '';
    const client = s3Client(external, accessKeyId, secretAccessKey);
    await client.send(new CreateBucketCommand({ Bucket: bucket }));
    return {
      endpoint: external,
      bucket,
      accessKeyId,
      secretAccessKey,
      isEmbedded: false,
      embedded: undefined,
      client,
      [Symbol.asyncDispose]: async () => {
        await removeBucket(client, bucket);
        client.destroy();
      },
    };
  }
  const accessKeyId = 'TESTKEY';
  const secretAccessKey = randomBytes(20).toString('hex');
  const embedded = await EmbeddedStore.start({
    dataDirectory,
    bucket,
    accessKeyId,
    secretAccessKey,
    accessLog,
    compiled,
  });
  const { endpoint } = embedded;
  const client = s3Client(endpoint, accessKeyId, secretAccessKey);
  return {
    endpoint,
    bucket,
    accessKeyId,
    secretAccessKey,
    isEmbedded: true,
    embedded,
    client,
    [Symbol.asyncDispose]: async () => {
      client.destroy();
      await embedded[Symbol.asyncDispose]();
    },
  };
}

/** Removes the bucket and its contents; tests leave less than one page. */
async function removeBucket(client: S3Client, bucket: string): Promise<void> {
  const { Uploads = [] } = await client.send(new ListMultipartUploadsCommand({ Bucket: bucket }));
  for (const { Key, UploadId } of Uploads) {
    await client.send(new AbortMultipartUploadCommand({ Bucket: bucket, Key, UploadId }));
  }
  const { Contents = [] } = await client.send(new ListObjectsV2Command({ Bucket: bucket }));
  for (const { Key } of Contents) await client.send(new DeleteObjectCommand({ Bucket: bucket, Key }));
  await client.send(new DeleteBucketCommand({ Bucket: bucket }));
}

/** A client with SDK settings that every store accepts. */
export function s3Client(endpoint: string, accessKeyId: string, secretAccessKey: string): S3Client {
  return new S3Client({
    endpoint,
    region: 'us-east-1',
    forcePathStyle: true,
    credentials: { accessKeyId, secretAccessKey },
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
  });
}
