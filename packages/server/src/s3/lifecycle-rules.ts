import type { LifecycleRule } from '@aws-sdk/client-s3';

export const ABORT_AFTER_DAYS = 7;
export const RULE_ID = 'backhaul-abort-incomplete-multipart-uploads';

/** As keys begin: with the prefix and a slash; empty for the whole bucket. */
export function keysUnder(keyPrefix: string): string {
  return keyPrefix === '' ? '' : `${keyPrefix}/`;
}

/** A rule in force that aborts incomplete uploads of every key under the prefix. */
export function findAbortRule(rules: readonly LifecycleRule[], keyPrefix: string): LifecycleRule | undefined {
  return abortRules(rules, keyPrefix)[0];
}

/** How long after its creation an incomplete upload under the prefix is aborted; undefined if by no rule. */
export function shortestAbortDays(rules: readonly LifecycleRule[], keyPrefix: string): number | undefined {
  const days = abortRules(rules, keyPrefix).flatMap(
    (rule) => rule.AbortIncompleteMultipartUpload?.DaysAfterInitiation ?? [],
  );
  return days.length === 0 ? undefined : Math.min(...days);
}

function abortRules(rules: readonly LifecycleRule[], keyPrefix: string): LifecycleRule[] {
  return rules.filter(
    (rule) =>
      rule.Status === 'Enabled' &&
      rule.AbortIncompleteMultipartUpload?.DaysAfterInitiation !== undefined &&
      covers(rule, keysUnder(keyPrefix)),
  );
}

function covers(rule: LifecycleRule, keys: string): boolean {
  const { Filter } = rule;
  // Tags and sizes are an object's: an incomplete upload has none, and S3 refuses such rules.
  const narrowed = Filter?.Tag ?? Filter?.And ?? Filter?.ObjectSizeGreaterThan ?? Filter?.ObjectSizeLessThan;
  return narrowed === undefined && keys.startsWith(Filter?.Prefix ?? rule.Prefix ?? '');
}

/** The rules there are, as they are, and ours; one of our name that does not do (any more) gives way. */
export function withAbortRule(rules: readonly LifecycleRule[], keyPrefix: string): LifecycleRule[] {
  const others = rules.filter((rule) => rule.ID !== RULE_ID);
  // S3 does not take both spellings of the prefix in one configuration.
  const isOldStyle = others.some((rule) => rule.Filter === undefined && rule.Prefix !== undefined);
  const Prefix = keysUnder(keyPrefix);
  return [
    ...others,
    {
      ID: RULE_ID,
      Status: 'Enabled',
      ...(isOldStyle ? { Prefix } : { Filter: { Prefix } }),
      AbortIncompleteMultipartUpload: { DaysAfterInitiation: ABORT_AFTER_DAYS },
    },
  ];
}
