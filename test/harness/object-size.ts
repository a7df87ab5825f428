import { HeadObjectCommand } from '@aws-sdk/client-s3';
import type { S3Target } from './object-store.ts';

/** Returns the object's size in bytes; undefined if it does not exist. */
export async function objectSize({ client, bucket }: S3Target, key: string): Promise<number | undefined> {
  try {
    const { ContentLength: size } = await client.send(new HeadObjectCommand({ Bucket: bucket, Key: key }));
    return size;
  } catch (error) {
    if (error instanceof Error && error.name === 'NotFound') return undefined;
    throw error;
  }
}
