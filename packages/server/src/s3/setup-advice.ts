import type { Finding } from '@backhaul/protocol';
import type { BucketChange } from './bucket-changes.ts';
import type { S3Settings } from './s3-settings.ts';

/**
 * What to do about a setting that the bucket lacks. AWS offers all of them. Of other stores only the setup's attempt
 * shows that: some refuse, some forget, some fail all writes afterwards. Nothing remembers it, so the advice names the
 * case in which it cannot help, and is no warning that would stay forever.
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
    fix: `If it was not done before, run \`backhaul-server --setup-bucket\` once. If that logged not_supported for the step ${step}, nothing can be done: the store does not offer it.`,
  };
}

function isAws(endpoint: string): boolean {
  return /\.amazonaws\.com(\.cn)?$/.test(new URL(endpoint).hostname);
}
