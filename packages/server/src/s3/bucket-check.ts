import type { Finding } from '@backhaul/protocol';
import { BucketError, type CallOptions } from '../domain/ports/bucket.ts';
import {
  blocksAllPublicAccess,
  isNotOffered,
  readEncryption,
  readLifecycle,
  readPublicAccessBlock,
  readVersioning,
} from './bucket-configuration.ts';
import { ABORT_AFTER_DAYS, findAbortRule, keysUnder } from './lifecycle-rules.ts';
import type { S3Connection } from './s3-connection.ts';

type Check = (connection: S3Connection, options: CallOptions) => Promise<Omit<Finding, 'name'>>;

const setUp = 'Run `backhaul-server --setup-bucket`.';

const checks: Readonly<Record<string, { readonly check: Check; readonly right: string }>> = {
  bucket_encryption: {
    right: 's3:GetEncryptionConfiguration',
    async check(connection, options) {
      const algorithm = await readEncryption(connection, options);
      return algorithm === null
        ? { level: 'warning', detail: 'The bucket has no default encryption.', fix: setUp }
        : { level: 'ok', detail: `The bucket encrypts by default with ${algorithm}.`, fix: null };
    },
  },
  bucket_versioning: {
    right: 's3:GetBucketVersioning',
    async check(connection, options) {
      return (await readVersioning(connection, options))
        ? { level: 'ok', detail: 'The bucket keeps versions.', fix: null }
        : {
            level: 'info',
            detail: 'The bucket keeps no versions: what is deleted is gone.',
            fix: `${setUp} Where the store has no versions, it says so.`,
          };
    },
  },
  bucket_public_access: {
    right: 's3:GetBucketPublicAccessBlock',
    async check(connection, options) {
      return blocksAllPublicAccess(await readPublicAccessBlock(connection, options))
        ? { level: 'ok', detail: 'Public access is blocked.', fix: null }
        : { level: 'warning', detail: 'Public access to the bucket is not blocked entirely.', fix: setUp };
    },
  },
  bucket_lifecycle: {
    right: 's3:GetLifecycleConfiguration',
    async check(connection, options) {
      const { keyPrefix } = connection.settings;
      const rule = findAbortRule((await readLifecycle(connection, options)).rules, keyPrefix);
      const days = rule?.AbortIncompleteMultipartUpload?.DaysAfterInitiation;
      return days === undefined
        ? {
            level: 'warning',
            detail: `No lifecycle rule aborts incomplete uploads under "${keysUnder(keyPrefix)}"; stores may charge for their parts for ever.`,
            fix: `${setUp} It adds one of ${ABORT_AFTER_DAYS} days. Meanwhile this server's sweeper aborts what it knows.`,
          }
        : { level: 'ok', detail: `Incomplete uploads are aborted after ${days} days.`, fix: null };
    },
  },
};

/**
 * How the bucket itself is set up. Nothing here stops a pull: what cannot be read is a finding, not an error.
 *
 * @throws BucketError `unavailable`
 */
export async function checkBucket(connection: S3Connection, options: CallOptions = {}): Promise<Finding[]> {
  return Promise.all(
    Object.entries(checks).map(async ([name, { check, right }]) => {
      try {
        return { name, ...(await check(connection, options)) };
      } catch (error) {
        return { name, ...unreadable(error, right) };
      }
    }),
  );
}

function unreadable(error: unknown, right: string): Omit<Finding, 'name'> {
  if (isNotOffered(error)) return { level: 'info', detail: 'The store does not offer this.', fix: null };
  if (!(error instanceof BucketError) || error.kind === 'unavailable') throw error;
  return {
    level: 'info',
    detail: `Cannot be read: ${error.message}`,
    fix: `Allow ${right} on the bucket to have this checked.`,
  };
}
