import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { GetObjectCommand, NoSuchKey } from '@aws-sdk/client-s3';
import type { Stage } from '../harness/stage.ts';

const PAUSE_MS = 500;

export interface StoredObject {
  readonly sizeBytes: number;
  readonly sha256: string;
}

/** Reads the stored object without any proxy, with retries while the store is down. @returns undefined if missing. */
export async function readStoredObject(
  { s3: { client, bucket } }: Stage,
  key: string,
  signal: AbortSignal,
): Promise<StoredObject | undefined> {
  for (;;) {
    signal.throwIfAborted();
    try {
      const { Body } = await client.send(new GetObjectCommand({ Bucket: bucket, Key: key }), {
        abortSignal: signal,
      });
      const hash = createHash('sha256');
      let sizeBytes = 0;
      for await (const chunk of Body as AsyncIterable<Buffer>) {
        hash.update(chunk);
        sizeBytes += chunk.length;
      }
      return { sizeBytes, sha256: hash.digest('hex') };
    } catch (error) {
      if (error instanceof NoSuchKey) return undefined;
    }
    await sleep(PAUSE_MS, undefined, { signal });
  }
}
