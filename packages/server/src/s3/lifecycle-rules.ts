import type { LifecycleRule } from '@aws-sdk/client-s3';

export const ABORT_AFTER_DAYS = 7;
export const RULE_ID = 'backhaul-abort-incomplete-multipart-uploads';

/** Beginning of all keys: the prefix and a slash; empty for the whole bucket. */
export function keysUnder(keyPrefix: string): string {
  return keyPrefix === '' ? '' : `${keyPrefix}/`;
}

/** An enabled rule that aborts incomplete uploads of every key under the prefix. */
export function findAbortRule(rules: readonly LifecycleRule[], keyPrefix: string): LifecycleRule | undefined {
  return abortRules(rules, keyPrefix)[0];
}

/** Days after their creation until incomplete uploads under the prefix are aborted; undefined without a rule. */
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
  // Tags and sizes belong to objects: an incomplete upload has none, and S3 refuses such rules.
  const narrowed = Filter?.Tag ?? Filter?.And ?? Filter?.ObjectSizeGreaterThan ?? Filter?.ObjectSizeLessThan;
  return narrowed === undefined && keys.startsWith(Filter?.Prefix ?? rule.Prefix ?? '');
}

/** The existing rules unchanged, plus ours; an unsuitable rule with our name is replaced. */
export function withAbortRule(rules: readonly LifecycleRule[], keyPrefix: string): LifecycleRule[] {
  const others = rules.filter((rule) => rule.ID !== RULE_ID);
  // S3 rejects a configuration that mixes both spellings of the prefix.
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
