import { DEFAULT_EXPIRES_IN_SECONDS, type Finding } from '@backhaul/protocol';
import { type BucketCapabilities, BucketError } from '../../domain/ports/bucket.ts';
import type { S3CallOptions, S3Connection } from '../s3-connection.ts';
import { keysUnder, type S3Settings } from '../s3-settings.ts';
import type { BucketChange } from './bucket-changes.ts';
import {
  ABORT_AFTER_DAYS,
  blocksAllPublicAccess,
  isNotOffered,
  isStoreFault,
  readEncryption,
  readLifecycle,
  readPublicAccessBlock,
  readVersioning,
  shortestAbortDays,
} from './bucket-configuration.ts';

/** One hanging request must not lose the results of the others. */
const ATTEMPT_TIMEOUT_MS = 4_000;
const DEADLINE_MS = 8_000;

interface CheckOptions extends S3CallOptions {
  /** Result of the probe. */
  readonly capabilities?: BucketCapabilities | undefined;
}

type Check = (connection: S3Connection, options: CheckOptions) => Promise<Omit<Finding, 'name'>>;

const DAY_SECONDS = 86_400;
/** No S3 call returns this limit. */
const OWN_LIMIT =
  'A store may apply a shorter limit of its own that it does not report (MinIO: 24 hours, `api stale_uploads_expiry`).';

const checks: Readonly<Record<string, { readonly check: Check; readonly right: string }>> = {
  bucket_encryption: {
    right: 's3:GetEncryptionConfiguration',
    async check(connection, options) {
      const { settings } = connection;
      const algorithm = await readEncryption(connection, options);
      if (algorithm !== null) {
        return { level: 'ok', detail: `Default encryption of the bucket: ${algorithm}.`, fix: null };
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
        ? { level: 'ok', detail: 'Versioning of the bucket is enabled.', fix: null }
        : {
            ...setupAdvice(connection.settings, 'versioning'),
            level: 'info',
            detail: 'Versioning of the bucket is disabled: deleted objects cannot be recovered.',
          };
    },
  },
  bucket_public_access: {
    right: 's3:GetBucketPublicAccessBlock',
    async check(connection, options) {
      return blocksAllPublicAccess(await readPublicAccessBlock(connection, options))
        ? { level: 'ok', detail: 'Public access is blocked.', fix: null }
        : {
            detail: 'Public access to the bucket is not fully blocked.',
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
          detail: `A lifecycle rule aborts incomplete uploads ${days} days after their creation, but an upload may take ${DEFAULT_EXPIRES_IN_SECONDS / DAY_SECONDS} days by default; it would lose all parts already sent.`,
          fix: `Set AbortIncompleteMultipartUpload of that rule to ${ABORT_AFTER_DAYS} days, or to more than the longest \`expires_in\` in use.`,
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
        detail: `No lifecycle rule aborts incomplete uploads under "${keysUnder(keyPrefix)}" (\`--setup-bucket\` adds one of ${ABORT_AFTER_DAYS} days). This server aborts its own; stores may charge for the parts of others.`,
        ...setupAdvice(connection.settings, 'lifecycle'),
      };
    },
  },
};

/**
 * Checks the configuration of the bucket. None of it can prevent an upload, so settings that cannot be read are
 * findings, not errors.
 */
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
  if (isNotOffered(error)) return { level: 'info', detail: 'The store does not support this.', fix: null };
  if (!(error instanceof BucketError)) throw error;
  if (isStoreFault(error)) {
    const detail = `The store failed this request; if that happens every time, it does not support this: ${error.message}`;
    return { level: 'info', detail, fix: null };
  }
  const isUnavailable = error.kind === 'unavailable';
  return {
    level: 'info',
    detail: `Cannot be read${isUnavailable ? ' now' : ''}: ${error.message}`,
    fix: isUnavailable ? null : `Allow ${right} on the bucket to enable this check.`,
  };
}

/**
 * Advice for a setting that the bucket lacks. AWS supports all of them. For other stores only the setup can find out:
 * some refuse, some silently ignore, some fail all writes afterwards. Its result is not stored, so the advice names
 * the case in which it cannot help, and is not a warning, which would stay forever.
 */
export function setupAdvice(
  { endpoint }: Pick<S3Settings, 'endpoint'>,
  step: BucketChange<never>['name'],
): Pick<Finding, 'level' | 'fix'> {
  if (endpoint === undefined || isAws(endpoint)) {
    return { level: 'warning', fix: 'Run `backhaul-server --setup-bucket`.' };
  }
  return {
    level: 'info',
    fix: `Run \`backhaul-server --setup-bucket\` once, unless that was done before. If it logs not_supported for the step ${step}, ignore this finding: the store does not support it.`,
  };
}

function isAws(endpoint: string): boolean {
  return /\.amazonaws\.com(\.cn)?$/.test(new URL(endpoint).hostname);
}
