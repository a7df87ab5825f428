import { type BucketLocationConstraint, CreateBucketCommand, HeadBucketCommand } from '@aws-sdk/client-s3';
import { BucketError, type CallOptions } from '../domain/ports/bucket.ts';
import { type BucketChange, encryption, lifecycle, publicAccessBlock, versioning } from './bucket-changes.ts';
import { isNotOffered, isStoreFault } from './bucket-configuration.ts';
import { type ChangeTools, makeChange, type StepResult } from './make-change.ts';
import { defaultTiming, S3Connection, type S3Timing } from './s3-connection.ts';
import type { S3Settings } from './s3-settings.ts';
import { TrialWrite } from './trial-write.ts';

export interface SetupStep extends StepResult {
  /** `trial_write` is present only if it failed. */
  readonly name: 'bucket' | BucketChange<never>['name'] | 'trial_write';
  /** Reason why no further step is possible. */
  readonly fatal?: BucketError;
}

interface SetupOptions extends CallOptions {
  readonly timing?: S3Timing;
  readonly onChange?: ChangeTools['onChange'];
}

/**
 * Implements `--setup-bucket`: makes the bucket pass {@link checkBucket}. It can be run at any time: it changes only
 * missing settings, removes nothing, and undoes changes that make writes fail. A failed step does not stop the others
 * unless the store cannot be used at all.
 *
 * @param options.signal Stops the setup between two steps; no change is left half done.
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
    const detail = `Writes fail before any change, so the changes below could not be tested: ${refusal.message}`;
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
  const failure = await generalFailure(connection);
  if (failure === undefined) return already;
  if (failure.s3Code !== 'NotFound' && failure.s3Code !== 'NoSuchBucket') throw failure;
  const create = new CreateBucketCommand({
    Bucket,
    // S3 rejects us-east-1 as a LocationConstraint; most other stores use that name for their only region.
    ...(region !== 'us-east-1' && {
      CreateBucketConfiguration: { LocationConstraint: region as BucketLocationConstraint },
    }),
  });
  try {
    await connection.call('CreateBucket', (client, call) => client.send(create, call));
  } catch (error) {
    // The response to an earlier attempt was lost.
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
      return { name, outcome: 'not_supported', detail: `The store does not support this (${error.s3Code}).` };
    }
    // If the store cannot be used at all, the cause is not this step, and the next step would report it again.
    const failure = await generalFailure(tools.connection);
    if (failure !== undefined) return { name, outcome: 'failed', detail: failure.message, fatal: failure };
    if (isStoreFault(error)) {
      const detail = `The store serves other calls but fails this one every time, so it seems not to support it: ${error.message}`;
      return { name, outcome: 'not_supported', detail };
    }
    const advice = error.s3Code === 'AccessDenied' ? `Allow ${rights} on the bucket. ` : '';
    return { name, outcome: 'failed', detail: `${advice}${error.message}` };
  }
}

/** The error that makes the bucket unusable right now, worded as at a normal start; undefined if it is usable. */
async function generalFailure(connection: S3Connection): Promise<BucketError | undefined> {
  const head = new HeadBucketCommand({ Bucket: connection.settings.bucket });
  try {
    await connection.call('HeadBucket', (client, call) => client.send(head, call));
    return undefined;
  } catch (error) {
    if (error instanceof BucketError) return error;
    throw error;
  }
}
