import {
  type BucketVersioningStatus,
  GetBucketEncryptionCommand,
  GetBucketLifecycleConfigurationCommand,
  GetBucketVersioningCommand,
  GetPublicAccessBlockCommand,
  type LifecycleRule,
  type PublicAccessBlockConfiguration,
  type TransitionDefaultMinimumObjectSize,
} from '@aws-sdk/client-s3';
import { BucketError } from '../../domain/ports/bucket.ts';
import type { S3CallOptions, S3Connection } from '../s3-connection.ts';
import { statusOf } from '../s3-errors.ts';
import { keysUnder } from '../s3-settings.ts';

export interface Lifecycle {
  readonly rules: readonly LifecycleRule[];
  /** A setting of the whole configuration; it is lost unless it is sent back. */
  readonly transitionDefault: TransitionDefaultMinimumObjectSize | undefined;
}

/** Default encryption of new objects, e.g. `AES256`; null if there is none. */
export async function readEncryption(
  connection: S3Connection,
  options: S3CallOptions,
): Promise<string | null> {
  const command = new GetBucketEncryptionCommand({ Bucket: connection.settings.bucket });
  const response = await unlessUnset(
    connection.send('GetBucketEncryption', command, options),
    'ServerSideEncryptionConfigurationNotFoundError',
  );
  const rule = response?.ServerSideEncryptionConfiguration?.Rules?.[0];
  return rule?.ApplyServerSideEncryptionByDefault?.SSEAlgorithm ?? null;
}

/** Null if versioning was never set. */
export async function readVersioning(
  connection: S3Connection,
  options: S3CallOptions,
): Promise<BucketVersioningStatus | null> {
  const command = new GetBucketVersioningCommand({ Bucket: connection.settings.bucket });
  const response = await connection.send('GetBucketVersioning', command, options);
  return response.Status ?? null;
}

/** Null if it was never set. */
export async function readPublicAccessBlock(
  connection: S3Connection,
  options: S3CallOptions,
): Promise<PublicAccessBlockConfiguration | null> {
  const command = new GetPublicAccessBlockCommand({ Bucket: connection.settings.bucket });
  const response = await unlessUnset(
    connection.send('GetPublicAccessBlock', command, options),
    'NoSuchPublicAccessBlockConfiguration',
  );
  return response?.PublicAccessBlockConfiguration ?? null;
}

export const wholePublicAccessBlock: Required<PublicAccessBlockConfiguration> = {
  BlockPublicAcls: true,
  IgnorePublicAcls: true,
  BlockPublicPolicy: true,
  RestrictPublicBuckets: true,
};

export function blocksAllPublicAccess(block: PublicAccessBlockConfiguration | null): boolean {
  if (block === null) return false;
  const { BlockPublicAcls, IgnorePublicAcls, BlockPublicPolicy, RestrictPublicBuckets } = block;
  return [BlockPublicAcls, IgnorePublicAcls, BlockPublicPolicy, RestrictPublicBuckets].every(
    (isOn) => isOn === true,
  );
}

export async function readLifecycle(connection: S3Connection, options: S3CallOptions): Promise<Lifecycle> {
  const command = new GetBucketLifecycleConfigurationCommand({ Bucket: connection.settings.bucket });
  const response = await unlessUnset(
    connection.send('GetBucketLifecycleConfiguration', command, options),
    'NoSuchLifecycleConfiguration',
  );
  return { rules: response?.Rules ?? [], transitionDefault: response?.TransitionDefaultMinimumObjectSize };
}

/** S3 responds with an error for settings that were never set. */
async function unlessUnset<T>(call: Promise<T>, unsetCode: string): Promise<T | undefined> {
  try {
    return await call;
  } catch (error) {
    if (error instanceof BucketError && error.s3Code === unsetCode) return undefined;
    throw error;
  }
}

/**
 * The store does not support the feature, as opposed to: not set, or not permitted. Our requests are well formed, so
 * a store that calls them invalid does not know them.
 */
export function isNotOffered(error: unknown): boolean {
  const codes = [
    'NotImplemented',
    'NotSupported',
    'MethodNotAllowed',
    'MalformedXML',
    'InvalidRequest',
    'InvalidArgument',
  ];
  return error instanceof BucketError && (statusOf(error) === 501 || codes.includes(error.s3Code ?? ''));
}

/** The store failed with a server error. Some stores do that for features they do not support (S3Proxy). */
export function isStoreFault(error: unknown): boolean {
  return error instanceof BucketError && error.kind === 'unavailable' && (statusOf(error) ?? 0) >= 500;
}

export const ABORT_AFTER_DAYS = 7;
export const RULE_ID = 'backhaul-abort-incomplete-multipart-uploads';

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
