import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import {
  AbortMultipartUploadCommand,
  type BucketLocationConstraint,
  CreateBucketCommand,
  CreateMultipartUploadCommand,
  HeadBucketCommand,
  PutBucketEncryptionCommand,
  PutBucketLifecycleConfigurationCommand,
  PutBucketVersioningCommand,
  PutPublicAccessBlockCommand,
  type PublicAccessBlockConfiguration,
  UploadPartCommand,
} from '@aws-sdk/client-s3';
import { BucketError, type CallOptions, TRIAL_FOLDER } from '../domain/ports/bucket.ts';
import {
  blocksAllPublicAccess,
  isNotOffered,
  type Lifecycle,
  readEncryption,
  readLifecycle,
  readPublicAccessBlock,
  readVersioning,
  wholePublicAccessBlock,
} from './bucket-configuration.ts';
import { ABORT_AFTER_DAYS, findAbortRule, keysUnder, RULE_ID, withAbortRule } from './lifecycle-rules.ts';
import { defaultTiming, S3Connection, type S3Timing } from './s3-connection.ts';
import type { S3Settings } from './s3-settings.ts';

/** `not_supported`: the store does not offer it, or says yes and forgets it. */
export type SetupOutcome = 'done' | 'already' | 'not_supported' | 'failed';

export interface SetupStep {
  readonly name: 'bucket' | 'encryption' | 'versioning' | 'public_access_block' | 'lifecycle';
  readonly outcome: SetupOutcome;
  readonly detail: string;
}

type StepResult = Omit<SetupStep, 'name'>;
type Step = (connection: S3Connection, options: CallOptions) => Promise<StepResult>;

/**
 * `--setup-bucket`: makes the bucket what {@link checkBucket} wants to see. May be run again at any time; changes
 * only what is missing and drops nothing that is there. A step that fails does not keep the others from being done.
 */
export async function setUpBucket(
  settings: S3Settings,
  options: CallOptions & { timing?: S3Timing } = {},
): Promise<SetupStep[]> {
  const { signal, timing = defaultTiming } = options;
  const connection = new S3Connection(settings, timing);
  try {
    const bucket = await attempt('bucket', createBucket, connection, { signal });
    const steps = [bucket];
    if (bucket.outcome === 'failed') return steps;
    steps.push(await attempt('encryption', encrypt, connection, { signal }));
    steps.push(await attempt('versioning', keepVersions, connection, { signal }));
    steps.push(await attempt('public_access_block', blockPublicAccess, connection, { signal }));
    steps.push(await attempt('lifecycle', abortIncomplete, connection, { signal }));
    return steps;
  } finally {
    connection.close();
  }
}

async function attempt(
  name: SetupStep['name'],
  step: Step,
  connection: S3Connection,
  options: CallOptions,
): Promise<SetupStep> {
  try {
    return { name, ...(await step(connection, options)) };
  } catch (error) {
    if (!(error instanceof BucketError)) throw error;
    return isNotOffered(error)
      ? { name, outcome: 'not_supported', detail: `The store does not offer this (${error.s3Code}).` }
      : { name, outcome: 'failed', detail: error.message };
  }
}

async function createBucket(connection: S3Connection, options: CallOptions): Promise<StepResult> {
  const { bucket: Bucket, region } = connection.settings;
  const already: StepResult = { outcome: 'already', detail: `The bucket "${Bucket}" exists.` };
  try {
    const head = new HeadBucketCommand({ Bucket });
    await connection.call('HeadBucket', (client, call) => client.send(head, call), options);
    return already;
  } catch (error) {
    if (!(error instanceof BucketError && error.s3Code === 'NotFound')) throw error;
  }
  const create = new CreateBucketCommand({
    Bucket,
    // us-east-1 is the one region that S3 does not take here; stores elsewhere mostly call themselves that.
    ...(region !== 'us-east-1' && {
      CreateBucketConfiguration: { LocationConstraint: region as BucketLocationConstraint },
    }),
  });
  try {
    await connection.call('CreateBucket', (client, call) => client.send(create, call), options);
  } catch (error) {
    // A first attempt whose answer was lost.
    if (error instanceof BucketError && error.s3Code === 'BucketAlreadyOwnedByYou') return already;
    throw error;
  }
  return { outcome: 'done', detail: `Created the bucket "${Bucket}" in ${region}.` };
}

async function encrypt(connection: S3Connection, options: CallOptions): Promise<StepResult> {
  const algorithm = await readEncryption(connection, options);
  if (algorithm !== null) return { outcome: 'already', detail: `Encrypts by default with ${algorithm}.` };
  const command = new PutBucketEncryptionCommand({
    Bucket: connection.settings.bucket,
    ServerSideEncryptionConfiguration: {
      Rules: [{ ApplyServerSideEncryptionByDefault: { SSEAlgorithm: 'AES256' } }],
    },
  });
  await connection.call('PutBucketEncryption', (client, call) => client.send(command, call), options);
  const isKept = await keeps(async () => (await readEncryption(connection, options)) !== null, options);
  return keptOrForgotten(isKept, 'Encrypts by default with AES256.');
}

async function keepVersions(connection: S3Connection, options: CallOptions): Promise<StepResult> {
  if (await readVersioning(connection, options)) return { outcome: 'already', detail: 'Keeps versions.' };
  const command = new PutBucketVersioningCommand({
    Bucket: connection.settings.bucket,
    VersioningConfiguration: { Status: 'Enabled' },
  });
  await connection.call('PutBucketVersioning', (client, call) => client.send(command, call), options);
  const isKept = await keeps(async () => readVersioning(connection, options), options);
  return keptOrForgotten(isKept, 'Keeps versions.');
}

async function blockPublicAccess(connection: S3Connection, options: CallOptions): Promise<StepResult> {
  const before = await readPublicAccessBlock(connection, options);
  if (blocksAllPublicAccess(before)) return { outcome: 'already', detail: 'Public access is blocked.' };
  const couldWrite = await canWriteParts(connection, options);
  await writePublicAccessBlock(connection, wholePublicAccessBlock, options);
  const isKept = await keeps(
    async () => blocksAllPublicAccess(await readPublicAccessBlock(connection, options)),
    options,
  );
  // Ceph 16 refuses every PUT, however private, once BlockPublicAcls is on.
  if (couldWrite && !(await canWriteParts(connection, options))) {
    await writePublicAccessBlock(connection, before, options);
    return {
      outcome: 'not_supported',
      detail: 'With public access blocked the store refuses all uploads; the setting was taken back.',
    };
  }
  return keptOrForgotten(isKept, 'Public access is blocked.');
}

async function writePublicAccessBlock(
  connection: S3Connection,
  block: PublicAccessBlockConfiguration,
  options: CallOptions,
): Promise<void> {
  const { bucket: Bucket } = connection.settings;
  const command = new PutPublicAccessBlockCommand({ Bucket, PublicAccessBlockConfiguration: block });
  await connection.call('PutPublicAccessBlock', (client, call) => client.send(command, call), options);
}

/** Tries one part of an upload that is then aborted. */
async function canWriteParts(connection: S3Connection, options: CallOptions): Promise<boolean> {
  const { bucket: Bucket, keyPrefix } = connection.settings;
  const place = { Bucket, Key: `${keysUnder(keyPrefix)}${TRIAL_FOLDER}/${randomUUID()}` };
  const create = new CreateMultipartUploadCommand(place);
  const { UploadId } = await connection.call(
    'CreateMultipartUpload',
    (client, call) => client.send(create, call),
    options,
  );
  const part = new UploadPartCommand({ ...place, UploadId, PartNumber: 1, Body: 'trial' });
  const abort = new AbortMultipartUploadCommand({ ...place, UploadId });
  try {
    await connection.call('UploadPart', (client, call) => client.send(part, call), options);
    return true;
  } catch (error) {
    if (error instanceof BucketError && error.kind === 'refused') return false;
    throw error;
  } finally {
    await connection.call('AbortMultipartUpload', (client, call) => client.send(abort, call), options);
  }
}

async function abortIncomplete(connection: S3Connection, options: CallOptions): Promise<StepResult> {
  const { bucket, keyPrefix } = connection.settings;
  const before = await readLifecycle(connection, options);
  const existing = findAbortRule(before.rules, keyPrefix)?.AbortIncompleteMultipartUpload;
  if (existing !== undefined) {
    return {
      outcome: 'already',
      detail: `Incomplete uploads are aborted after ${existing.DaysAfterInitiation} days.`,
    };
  }
  const command = new PutBucketLifecycleConfigurationCommand({
    Bucket: bucket,
    LifecycleConfiguration: { Rules: withAbortRule(before.rules, keyPrefix) },
    ...(before.transitionDefault !== undefined && {
      TransitionDefaultMinimumObjectSize: before.transitionDefault,
    }),
  });
  await connection.call(
    'PutBucketLifecycleConfiguration',
    (client, call) => client.send(command, call),
    options,
  );
  // MinIO takes such a rule and drops it without a word: only reading it back tells.
  let after = before;
  const isKept = await keeps(async () => {
    after = await readLifecycle(connection, options);
    return findAbortRule(after.rules, keyPrefix) !== undefined;
  }, options);
  const lost = lostRules(before, after);
  if (lost.length > 0) {
    return {
      outcome: 'failed',
      detail: `The store changed or dropped these lifecycle rules: ${lost.join(', ')}.`,
    };
  }
  return keptOrForgotten(isKept, `Incomplete uploads are aborted after ${ABORT_AFTER_DAYS} days.`);
}

function lostRules(before: Lifecycle, after: Lifecycle): string[] {
  return before.rules
    .filter((rule) => rule.ID !== RULE_ID)
    .filter((rule) => !after.rules.some((kept) => isDeepStrictEqual(kept, rule)))
    .map((rule) => rule.ID ?? '(without ID)');
}

/** S3 may take a moment to show a new configuration. */
async function keeps(isThere: () => Promise<boolean>, { signal }: CallOptions): Promise<boolean> {
  for (const pauseMs of [0, 500, 2_000]) {
    await sleep(pauseMs, undefined, { signal });
    if (await isThere()) return true;
  }
  return false;
}

function keptOrForgotten(isKept: boolean, detail: string): StepResult {
  return isKept
    ? { outcome: 'done', detail }
    : { outcome: 'not_supported', detail: 'The store accepted the request, but did not keep the setting.' };
}
