import type { Finding } from '@backhaul/protocol';
import type { BucketChange } from './bucket-changes.ts';
import type { S3Settings } from './s3-settings.ts';

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
