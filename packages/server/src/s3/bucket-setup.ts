import { type BucketLocationConstraint, CreateBucketCommand, HeadBucketCommand } from '@aws-sdk/client-s3';
import { BucketError, type CallOptions } from '../domain/ports/bucket.ts';
import { type BucketChange, encryption, lifecycle, publicAccessBlock, versioning } from './bucket-changes.ts';
import { isNotOffered, isStoreFault } from './bucket-configuration.ts';
import { type ChangeTools, makeChange, type StepResult } from './make-change.ts';
import { defaultTiming, S3Connection, type S3Timing } from './s3-connection.ts';
import type { S3Settings } from './s3-settings.ts';
import { TrialWrite } from './trial-write.ts';

export interface SetupStep extends StepResult {
  /** `trial_write` only if it failed. */
  readonly name: 'bucket' | BucketChange<never>['name'] | 'trial_write';
  /** Why there can be no further step. */
  readonly fatal?: BucketError;
}

interface SetupOptions extends CallOptions {
  readonly timing?: S3Timing;
  readonly onChange?: ChangeTools['onChange'];
}

/**
 * `--setup-bucket`: makes the bucket what {@link checkBucket} wants to see. May be run again at any time; changes
 * only what is missing, drops nothing that is there, and undoes what makes writes fail. A step that fails does not keep
 * the others from being done, unless the store cannot be used at all.
 *
 * @param options.signal Ends it between two steps: no change is left half made.
 */
export async function setUpBucket(settings: S3Settings, options: SetupOptions = {}): Promise<SetupStep[]> {
  const { timing = defaultTiming } = options;
  const connection = new S3Connection(settings, timing);
  try {
    return await runSteps(connection, options);
  } finally {
    connection.close();
  }
}

async function runSteps(
  connection: S3Connection,
  { signal, onChange = () => undefined }: SetupOptions,
): Promise<SetupStep[]> {
  const isStopped = () => signal?.aborted === true;
  const bucket = await bucketStep(connection);
  const steps = [bucket];
  if (bucket.fatal !== undefined || isStopped()) return steps;

  const trial = new TrialWrite(connection);
  const refusal = await trial.failure();
  if (refusal !== undefined) {
    const detail = `Writes fail before anything is changed, so the changes below could not be tried: ${refusal.message}`;
    steps.push({ name: 'trial_write', outcome: 'failed', detail });
  }
  const tools = { connection, trial, couldWrite: refusal === undefined, onChange };
  for (const step of [
    () => changeStep(encryption, tools),
    () => changeStep(versioning, tools),
    () => changeStep(publicAccessBlock, tools),
    () => changeStep(lifecycle, tools),
  ]) {
    if (steps.at(-1)?.fatal !== undefined || isStopped()) break;
    steps.push(await step());
  }
  if (trial.leftovers.length > 0) {
    const detail = `Trial objects could not be removed: ${trial.leftovers.join('; ')}`;
    steps.push({ name: 'trial_write', outcome: 'failed', detail });
  }
  return steps;
}

async function bucketStep(connection: S3Connection): Promise<SetupStep> {
  try {
    return { name: 'bucket', ...(await createBucket(connection)) };
  } catch (error) {
    if (!(error instanceof BucketError)) throw error;
    return { name: 'bucket', outcome: 'failed', detail: error.message, fatal: error };
  }
}

async function createBucket(connection: S3Connection): Promise<StepResult> {
  const { bucket: Bucket, region } = connection.settings;
  const already: StepResult = { outcome: 'already', detail: `The bucket "${Bucket}" exists.` };
  const obstacle = await obstacleOf(connection);
  if (obstacle === undefined) return already;
  if (obstacle.s3Code !== 'NotFound' && obstacle.s3Code !== 'NoSuchBucket') throw obstacle;
  const create = new CreateBucketCommand({
    Bucket,
    // us-east-1 is the one region that S3 does not take here; stores elsewhere mostly call themselves that.
    ...(region !== 'us-east-1' && {
      CreateBucketConfiguration: { LocationConstraint: region as BucketLocationConstraint },
    }),
  });
  try {
    await connection.call('CreateBucket', (client, call) => client.send(create, call));
  } catch (error) {
    // A first attempt whose answer was lost.
    if (error instanceof BucketError && error.s3Code === 'BucketAlreadyOwnedByYou') return already;
    throw error;
  }
  return { outcome: 'done', detail: `Created the bucket "${Bucket}" in ${region}.` };
}

async function changeStep<State>(change: BucketChange<State>, tools: ChangeTools): Promise<SetupStep> {
  const { name, rights } = change;
  try {
    return { name, ...(await makeChange(change, tools)) };
  } catch (error) {
    if (!(error instanceof BucketError)) throw error;
    if (isNotOffered(error)) {
      return { name, outcome: 'not_supported', detail: `The store does not offer this (${error.s3Code}).` };
    }
    // What keeps the store from being used at all is no matter of this step, and the next would say it again.
    const obstacle = await obstacleOf(tools.connection);
    if (obstacle !== undefined) return { name, outcome: 'failed', detail: obstacle.message, fatal: obstacle };
    if (isStoreFault(error)) {
      const detail = `The store serves other calls, but has a fault at this one each time, so it seems not to offer it: ${error.message}`;
      return { name, outcome: 'not_supported', detail };
    }
    const advice = error.s3Code === 'AccessDenied' ? `Allow ${rights} on the bucket. ` : '';
    return { name, outcome: 'failed', detail: `${advice}${error.message}` };
  }
}

/** Why the bucket cannot be used at all right now, in the words of a plain start. */
async function obstacleOf(connection: S3Connection): Promise<BucketError | undefined> {
  const head = new HeadBucketCommand({ Bucket: connection.settings.bucket });
  try {
    await connection.call('HeadBucket', (client, call) => client.send(head, call));
    return undefined;
  } catch (error) {
    if (error instanceof BucketError) return error;
    throw error;
  }
}
