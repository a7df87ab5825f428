import { isTerminal, uploadIdSchema } from '@backhaul/protocol';
import { type Bucket, type PendingUpload, TRIAL_FOLDER } from '../ports/bucket.ts';
import type { Clock } from '../ports/clock.ts';
import type { Log } from '../ports/log.ts';
import type { Store } from '../ports/store.ts';

/** A trial takes seconds; an older one was left by a server that was killed during it. */
const TRIAL_AGE_MS = 3_600_000;

/**
 * Aborts multipart uploads that S3 still has for our uploads but that no row refers to: the server was killed between
 * Create and the row, the abort of an ended attempt failed, or parts in flight outlived it.
 *
 * Another server may share bucket and prefix, so uploads unknown to the database are left alone; old trials of the
 * store belong to no server any more.
 *
 * @returns how many were aborted.
 */
export async function abortOrphans(deps: {
  store: Store;
  bucket: Bucket;
  clock: Clock;
  log: Log;
  keyPrefix: string;
  /** Milliseconds pass between Create and its row; a younger one may still get its row. */
  orphanAgeMs: number;
}): Promise<number> {
  const { store, bucket, clock, log, keyPrefix, orphanAgeMs } = deps;
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
      // One failed abort must not stop the others.
      log.warn({ key: pending.key, err: error }, 'abort of an orphan failed; the next sweep will retry');
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
