import { isDeepStrictEqual } from 'node:util';
import {
  type BucketVersioningStatus,
  DeleteBucketEncryptionCommand,
  DeleteBucketLifecycleCommand,
  DeletePublicAccessBlockCommand,
  type LifecycleRule,
  type PublicAccessBlockConfiguration,
  PutBucketEncryptionCommand,
  PutBucketLifecycleConfigurationCommand,
  PutBucketVersioningCommand,
  PutPublicAccessBlockCommand,
} from '@aws-sdk/client-s3';
import type { S3Connection } from '../s3-connection.ts';
import type { S3Settings } from '../s3-settings.ts';
import {
  blocksAllPublicAccess,
  findAbortRule,
  isNotOffered,
  type Lifecycle,
  readEncryption,
  readLifecycle,
  readPublicAccessBlock,
  readVersioning,
  RULE_ID,
  wholePublicAccessBlock,
  withAbortRule,
} from './bucket-configuration.ts';

/** A bucket setting that the setup changes and can undo. `State` is the setting as read. */
export interface BucketChange<State> {
  readonly name: 'encryption' | 'versioning' | 'public_access_block' | 'lifecycle';
  /** The effect on the bucket, as the beginning of a sentence. */
  readonly effect: string;
  /** Required IAM actions. */
  readonly rights: string;
  /** Some stores fail all writes under this setting. */
  readonly mayBlockWrites: boolean;
  read(connection: S3Connection): Promise<State>;
  /** A sentence if the setting is already correct; otherwise undefined. */
  describe(state: State, settings: S3Settings): string | undefined;
  make(connection: S3Connection, before: State): Promise<void>;
  /** Describes, in a sentence, other settings that the store changed at the same time. */
  damage?(before: State, after: State): string | undefined;
  undo(connection: S3Connection, before: State): Promise<void>;
  isUndone(now: State, before: State): boolean;
  /** Shell command that undoes the change. */
  undoByHand(settings: S3Settings, before: State): string;
}

export const encryption: BucketChange<string | null> = {
  name: 'encryption',
  effect: 'With default encryption on',
  rights: 's3:GetEncryptionConfiguration and s3:PutEncryptionConfiguration',
  mayBlockWrites: true,
  read: (connection) => readEncryption(connection, {}),
  describe: (algorithm) => (algorithm === null ? undefined : `Default encryption: ${algorithm}.`),
  async make(connection) {
    const command = new PutBucketEncryptionCommand({
      Bucket: connection.settings.bucket,
      ServerSideEncryptionConfiguration: {
        Rules: [{ ApplyServerSideEncryptionByDefault: { SSEAlgorithm: 'AES256' } }],
      },
    });
    await connection.send('PutBucketEncryption', command);
  },
  async undo(connection) {
    const command = new DeleteBucketEncryptionCommand({ Bucket: connection.settings.bucket });
    await connection.send('DeleteBucketEncryption', command);
  },
  isUndone: isDeepStrictEqual,
  undoByHand: (settings) => awsCommand(settings, 'delete-bucket-encryption'),
};

export const versioning: BucketChange<BucketVersioningStatus | null> = {
  name: 'versioning',
  effect: 'With versioning on',
  rights: 's3:GetBucketVersioning and s3:PutBucketVersioning',
  mayBlockWrites: false,
  read: (connection) => readVersioning(connection, {}),
  describe: (status) => (status === 'Enabled' ? 'Versioning is enabled.' : undefined),
  make: (connection) => putVersioning(connection, 'Enabled'),
  // S3 cannot return to a bucket that never had versions; a suspended bucket writes as before.
  undo: (connection) => putVersioning(connection, 'Suspended'),
  isUndone: (now) => now !== 'Enabled',
  undoByHand: (settings) =>
    awsCommand(settings, 'put-bucket-versioning', '--versioning-configuration Status=Suspended'),
};

async function putVersioning(connection: S3Connection, Status: BucketVersioningStatus): Promise<void> {
  const { bucket: Bucket } = connection.settings;
  const command = new PutBucketVersioningCommand({ Bucket, VersioningConfiguration: { Status } });
  await connection.send('PutBucketVersioning', command);
}

export const publicAccessBlock: BucketChange<PublicAccessBlockConfiguration | null> = {
  name: 'public_access_block',
  effect: 'With public access blocked',
  rights: 's3:GetBucketPublicAccessBlock and s3:PutBucketPublicAccessBlock',
  // Ceph 16 refuses every write, even private ones, once BlockPublicAcls is on.
  mayBlockWrites: true,
  read: (connection) => readPublicAccessBlock(connection, {}),
  describe: (block) => (blocksAllPublicAccess(block) ? 'Public access is blocked.' : undefined),
  make: (connection) => putPublicAccessBlock(connection, wholePublicAccessBlock),
  async undo(connection, before) {
    if (before !== null) return putPublicAccessBlock(connection, before);
    const command = new DeletePublicAccessBlockCommand({ Bucket: connection.settings.bucket });
    try {
      await connection.send('DeletePublicAccessBlock', command);
    } catch (error) {
      if (!isNotOffered(error)) throw error;
      await putPublicAccessBlock(connection, noPublicAccessBlock);
    }
  },
  isUndone: (now, before) =>
    isDeepStrictEqual({ ...noPublicAccessBlock, ...now }, { ...noPublicAccessBlock, ...before }),
  undoByHand: (settings, before) =>
    before === null
      ? awsCommand(settings, 'delete-public-access-block')
      : awsCommand(
          settings,
          'put-public-access-block',
          `--public-access-block-configuration '${JSON.stringify(before)}'`,
        ),
};

/** Equivalent to no configuration. */
const noPublicAccessBlock: PublicAccessBlockConfiguration = {
  BlockPublicAcls: false,
  IgnorePublicAcls: false,
  BlockPublicPolicy: false,
  RestrictPublicBuckets: false,
};

async function putPublicAccessBlock(
  connection: S3Connection,
  block: PublicAccessBlockConfiguration,
): Promise<void> {
  const { bucket: Bucket } = connection.settings;
  const command = new PutPublicAccessBlockCommand({ Bucket, PublicAccessBlockConfiguration: block });
  await connection.send('PutPublicAccessBlock', command);
}

export const lifecycle: BucketChange<Lifecycle> = {
  name: 'lifecycle',
  effect: 'With the lifecycle rule for incomplete uploads',
  rights: 's3:GetLifecycleConfiguration and s3:PutLifecycleConfiguration',
  mayBlockWrites: false,
  read: (connection) => readLifecycle(connection, {}),
  // MinIO accepts such a rule and silently drops it; only reading it back shows this.
  describe({ rules }, { keyPrefix }) {
    const days = findAbortRule(rules, keyPrefix)?.AbortIncompleteMultipartUpload?.DaysAfterInitiation;
    return days === undefined ? undefined : `Incomplete uploads are aborted after ${days} days.`;
  },
  make: (connection, { rules, ...rest }) =>
    putLifecycle(connection, { ...rest, rules: withAbortRule(rules, connection.settings.keyPrefix) }),
  damage(before, after) {
    const lost = lostRules(before, after);
    return lost.length === 0
      ? undefined
      : `The store changed or dropped these lifecycle rules: ${lost.map(({ ID }) => ID ?? '(without ID)').join(', ')}.`;
  },
  async undo(connection, before) {
    if (before.rules.length > 0) return putLifecycle(connection, before);
    const command = new DeleteBucketLifecycleCommand({ Bucket: connection.settings.bucket });
    await connection.send('DeleteBucketLifecycle', command);
  },
  isUndone: (now, before) => now.rules.length === before.rules.length && lostRules(before, now).length === 0,
  undoByHand: (settings, { rules }) =>
    rules.length === 0
      ? awsCommand(settings, 'delete-bucket-lifecycle')
      : awsCommand(
          settings,
          'put-bucket-lifecycle-configuration',
          `--lifecycle-configuration '${JSON.stringify({ Rules: rules })}'`,
        ),
};

async function putLifecycle(
  connection: S3Connection,
  { rules, transitionDefault }: Lifecycle,
): Promise<void> {
  const command = new PutBucketLifecycleConfigurationCommand({
    Bucket: connection.settings.bucket,
    LifecycleConfiguration: { Rules: [...rules] },
    ...(transitionDefault !== undefined && { TransitionDefaultMinimumObjectSize: transitionDefault }),
  });
  await connection.send('PutBucketLifecycleConfiguration', command);
}

/** An outdated rule with our name is replaced by the correct one; every other rule has to stay unchanged. */
function lostRules(before: Lifecycle, after: Lifecycle): LifecycleRule[] {
  return before.rules
    .filter(({ ID }) => ID !== RULE_ID)
    .filter((rule) => !after.rules.some((remaining) => isDeepStrictEqual(remaining, rule)));
}

function awsCommand({ bucket, endpoint }: S3Settings, command: string, argument?: string): string {
  const words = ['aws', ...(endpoint === undefined ? [] : [`--endpoint-url ${endpoint}`])];
  return [
    ...words,
    `s3api ${command} --bucket ${bucket}`,
    ...(argument === undefined ? [] : [argument]),
  ].join(' ');
}
