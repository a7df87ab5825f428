import { isTerminal, uploadIdSchema } from '@backhaul/protocol';
import { type Bucket, type PendingUpload, TRIAL_FOLDER } from '../ports/bucket.ts';
import type { Clock } from '../ports/clock.ts';
import type { Log } from '../ports/log.ts';
import type { Store } from '../ports/store.ts';

/** A trial takes seconds. One that is older was left by a server that was killed amid it, whichever that was. */
const TRIAL_AGE_MS = 3_600_000;

/**
 * Aborts multipart uploads that S3 holds for uploads of ours but that no row refers to any more: the server was
 * killed between Create and the row, an abort failed as an attempt was given up, or parts in flight outlived it.
 *
 * Another server may share bucket and prefix, so an upload that the store does not know is none of our business;
 * but trials of the store are nobody's after a while.
 *
 * @returns how many were aborted.
 */
export async function abortOrphans(parts: {
  store: Store;
  bucket: Bucket;
  clock: Clock;
  log: Log;
  keyPrefix: string;
  /** Between Create and the row that remembers it lie milliseconds; a younger one may be on its way there. */
  orphanAgeMs: number;
}): Promise<number> {
  const { store, bucket, clock, log, keyPrefix, orphanAgeMs } = parts;
  let aborted = 0;
  const ours = keyPrefix === '' ? '' : `${keyPrefix}/`;
  for await (const pending of bucket.listMultipartUploads(ours)) {
    const ageMs = clock.now() - pending.initiatedAt;
    const isLeft = pending.key.startsWith(`${ours}${TRIAL_FOLDER}/`)
      ? ageMs >= Math.max(TRIAL_AGE_MS, orphanAgeMs)
      : ageMs >= orphanAgeMs && (await isOrphan(store, pending));
    if (!isLeft) continue;
    try {
      await bucket.abortMultipartUpload(pending);
      log.info({ key: pending.key }, 'orphaned multipart upload aborted');
      aborted += 1;
    } catch (error) {
      // One that cannot be aborted must not protect the others.
      log.warn({ key: pending.key, err: error }, 'abort of an orphan failed; repeated at the next look');
    }
  }
  return aborted;
}

async function isOrphan(store: Store, pending: PendingUpload): Promise<boolean> {
  const uploadId = uploadIdSchema.safeParse(pending.key.split('/').at(-2));
  if (!uploadId.success) return false;
  const upload = await store.getUpload(uploadId.data);
  if (upload?.key !== pending.key) return false;
  // Parts in flight can land after an abort, and then it has to be repeated (S3, AbortMultipartUpload).
  const isClosed = isTerminal(upload.status) && !upload.multipartOpen;
  return isClosed || upload.s3UploadId !== pending.s3UploadId;
}
