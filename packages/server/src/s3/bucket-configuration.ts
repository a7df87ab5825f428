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
  /** A setting of the whole configuration; to be sent back with it, or it is lost. */
  readonly transitionDefault: TransitionDefaultMinimumObjectSize | undefined;
}

/** Default encryption of new objects, e.g. `AES256`; null if there is none. */
export async function readEncryption(
  connection: S3Connection,
  options: S3CallOptions,
): Promise<string | null> {
  const command = new GetBucketEncryptionCommand({ Bucket: connection.settings.bucket });
  const answer = await unlessUnset(
    connection.call('GetBucketEncryption', (client, call) => client.send(command, call), options),
    'ServerSideEncryptionConfigurationNotFoundError',
  );
  const rule = answer?.ServerSideEncryptionConfiguration?.Rules?.[0];
  return rule?.ApplyServerSideEncryptionByDefault?.SSEAlgorithm ?? null;
}

/** Null if it was never set. */
export async function readVersioning(
  connection: S3Connection,
  options: S3CallOptions,
): Promise<BucketVersioningStatus | null> {
  const command = new GetBucketVersioningCommand({ Bucket: connection.settings.bucket });
  const answer = await connection.call(
    'GetBucketVersioning',
    (client, call) => client.send(command, call),
    options,
  );
  return answer.Status ?? null;
}

/** Null if it was never set. */
export async function readPublicAccessBlock(
  connection: S3Connection,
  options: S3CallOptions,
): Promise<PublicAccessBlockConfiguration | null> {
  const command = new GetPublicAccessBlockCommand({ Bucket: connection.settings.bucket });
  const answer = await unlessUnset(
    connection.call('GetPublicAccessBlock', (client, call) => client.send(command, call), options),
    'NoSuchPublicAccessBlockConfiguration',
  );
  return answer?.PublicAccessBlockConfiguration ?? null;
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
  const answer = await unlessUnset(
    connection.call('GetBucketLifecycleConfiguration', (client, call) => client.send(command, call), options),
    'NoSuchLifecycleConfiguration',
  );
  return { rules: answer?.Rules ?? [], transitionDefault: answer?.TransitionDefaultMinimumObjectSize };
}

/** S3 answers with an error for what was never set. */
async function unlessUnset<T>(call: Promise<T>, unsetCode: string): Promise<T | undefined> {
  try {
    return await call;
  } catch (error) {
    if (error instanceof BucketError && error.s3Code === unsetCode) return undefined;
    throw error;
  }
}

/**
 * The store has no such thing at all, as opposed to: it is not set, or not ours to see. Our requests are well
 * formed: a store that finds them invalid does not know them.
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

/** The store responded, by a fault of its own. Some do so to what they do not offer (S3Proxy). */
export function isStoreFault(error: unknown): boolean {
  return error instanceof BucketError && error.kind === 'unavailable' && (statusOf(error) ?? 0) >= 500;
}
