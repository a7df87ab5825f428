import { HeadObjectCommand } from '@aws-sdk/client-s3';
import type { S3Target } from './object-store.ts';

/** Bytes of the object at this key; undefined if there is none. */
export async function objectSize({ client, bucket }: S3Target, key: string): Promise<number | undefined> {
  try {
    const { ContentLength: size } = await client.send(new HeadObjectCommand({ Bucket: bucket, Key: key }));
    return size;
  } catch (error) {
    if (error instanceof Error && error.name === 'NotFound') return undefined;
    throw error;
  }
}
