import { DEFAULT_EXPIRES_IN_SECONDS, type Finding } from '@backhaul/protocol';
import { type BucketCapabilities, BucketError } from '../domain/ports/bucket.ts';
import {
  blocksAllPublicAccess,
  isNotOffered,
  isStoreFault,
  readEncryption,
  readLifecycle,
  readPublicAccessBlock,
  readVersioning,
} from './bucket-configuration.ts';
import { ABORT_AFTER_DAYS, keysUnder, shortestAbortDays } from './lifecycle-rules.ts';
import type { S3CallOptions, S3Connection } from './s3-connection.ts';
import { setupAdvice } from './setup-advice.ts';

/** A store that hangs at one question must not keep the others' answers. */
const ATTEMPT_TIMEOUT_MS = 4_000;
const DEADLINE_MS = 8_000;

interface CheckOptions extends S3CallOptions {
  /** What a trial has found. */
  readonly capabilities?: BucketCapabilities | undefined;
}

type Check = (connection: S3Connection, options: CheckOptions) => Promise<Omit<Finding, 'name'>>;

const DAY_SECONDS = 86_400;
/** No call of S3 tells. */
const OWN_LIMIT =
  'A store may have a shorter limit of its own, which it does not show (MinIO: 24 hours, `api stale_uploads_expiry`).';

const checks: Readonly<Record<string, { readonly check: Check; readonly right: string }>> = {
  bucket_encryption: {
    right: 's3:GetEncryptionConfiguration',
    async check(connection, options) {
      const { settings } = connection;
      const algorithm = await readEncryption(connection, options);
      if (algorithm !== null) {
        return { level: 'ok', detail: `The bucket encrypts by default with ${algorithm}.`, fix: null };
      }
      const detail = 'The bucket has no default encryption.';
      const { capabilities } = options;
      // With default encryption on, such a store may fail every write (SeaweedFS without a key).
      const cannot = settings.sse.wanted !== null && capabilities?.serverSideEncryption === null;
      if (cannot)
        return { level: 'info', detail: `${detail} The store does not encrypt on request.`, fix: null };
      return { detail, ...setupAdvice(settings, 'encryption') };
    },
  },
  bucket_versioning: {
    right: 's3:GetBucketVersioning',
    async check(connection, options) {
      return (await readVersioning(connection, options)) === 'Enabled'
        ? { level: 'ok', detail: 'The bucket keeps versions.', fix: null }
        : {
            ...setupAdvice(connection.settings, 'versioning'),
            level: 'info',
            detail: 'The bucket keeps no versions: what is deleted is gone.',
          };
    },
  },
  bucket_public_access: {
    right: 's3:GetBucketPublicAccessBlock',
    async check(connection, options) {
      return blocksAllPublicAccess(await readPublicAccessBlock(connection, options))
        ? { level: 'ok', detail: 'Public access is blocked.', fix: null }
        : {
            detail: 'Public access to the bucket is not blocked entirely.',
            ...setupAdvice(connection.settings, 'public_access_block'),
          };
    },
  },
  bucket_lifecycle: {
    right: 's3:GetLifecycleConfiguration',
    async check(connection, options) {
      const { keyPrefix } = connection.settings;
      const days = shortestAbortDays((await readLifecycle(connection, options)).rules, keyPrefix);
      if (days !== undefined && days * DAY_SECONDS <= DEFAULT_EXPIRES_IN_SECONDS) {
        return {
          level: 'warning',
          detail: `A lifecycle rule drops incomplete uploads ${days} days after they were created; an upload has ${DEFAULT_EXPIRES_IN_SECONDS / DAY_SECONDS} days by default, and loses all that it has sent.`,
          fix: `Set AbortIncompleteMultipartUpload of that rule to ${ABORT_AFTER_DAYS} days, or longer than the longest \`expires_in\` that is asked for.`,
        };
      }
      if (days !== undefined) {
        return {
          level: 'ok',
          detail: `Incomplete uploads are aborted after ${days} days. ${OWN_LIMIT}`,
          fix: null,
        };
      }
      return {
        detail: `No lifecycle rule aborts incomplete uploads under "${keysUnder(keyPrefix)}" (the setup adds one of ${ABORT_AFTER_DAYS} days). This server aborts those that it knows; stores may charge for the parts of others.`,
        ...setupAdvice(connection.settings, 'lifecycle'),
      };
    },
  },
};

/** How the bucket itself is set up. None of it stops a pull: what cannot be read is a finding, not an error. */
export async function checkBucket(connection: S3Connection, options: CheckOptions = {}): Promise<Finding[]> {
  const { calls } = connection.timing;
  const policy = {
    ...calls,
    attemptTimeoutMs: Math.min(calls.attemptTimeoutMs, ATTEMPT_TIMEOUT_MS),
    deadlineMs: Math.min(calls.deadlineMs, DEADLINE_MS),
  };
  return Promise.all(
    Object.entries(checks).map(async ([name, { check, right }]) => {
      try {
        return { name, ...(await check(connection, { ...options, policy })) };
      } catch (error) {
        return { name, ...unreadable(error, right) };
      }
    }),
  );
}

function unreadable(error: unknown, right: string): Omit<Finding, 'name'> {
  if (isNotOffered(error)) return { level: 'info', detail: 'The store does not offer this.', fix: null };
  if (!(error instanceof BucketError)) throw error;
  if (isStoreFault(error)) {
    const detail = `The store has a fault at this question; if it does so each time, it does not offer this: ${error.message}`;
    return { level: 'info', detail, fix: null };
  }
  const isAway = error.kind === 'unavailable';
  return {
    level: 'info',
    detail: `Cannot be read${isAway ? ' now' : ''}: ${error.message}`,
    fix: isAway ? null : `Allow ${right} on the bucket to have this checked.`,
  };
}
