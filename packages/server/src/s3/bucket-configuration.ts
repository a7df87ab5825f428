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
import { BucketError } from '../domain/ports/bucket.ts';
import type { S3CallOptions, S3Connection } from './s3-connection.ts';
import { statusOf } from './s3-errors.ts';

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
    connection.call('GetBucketEncryption', (client, call) => client.send(command, call), options),
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
  const response = await connection.call(
    'GetBucketVersioning',
    (client, call) => client.send(command, call),
    options,
  );
  return response.Status ?? null;
}

/** Null if it was never set. */
export async function readPublicAccessBlock(
  connection: S3Connection,
  options: S3CallOptions,
): Promise<PublicAccessBlockConfiguration | null> {
  const command = new GetPublicAccessBlockCommand({ Bucket: connection.settings.bucket });
  const response = await unlessUnset(
    connection.call('GetPublicAccessBlock', (client, call) => client.send(command, call), options),
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
    connection.call('GetBucketLifecycleConfiguration', (client, call) => client.send(command, call), options),
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
