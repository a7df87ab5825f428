import { setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import { type BucketLocationConstraint, CreateBucketCommand, HeadBucketCommand } from '@aws-sdk/client-s3';
import { BucketError, type CallOptions } from '../../domain/ports/bucket.ts';
import { defaultTiming, S3Connection, type S3Timing } from '../s3-connection.ts';
import type { S3Settings } from '../s3-settings.ts';
import { type BucketChange, encryption, lifecycle, publicAccessBlock, versioning } from './bucket-changes.ts';
import { isNotOffered, isStoreFault } from './bucket-configuration.ts';
import { failureOf, TrialWrite } from './trial-write.ts';

/** S3 may take a moment to show or apply a new configuration. */
const PAUSES_MS = [0, 500, 2_000];

/**
 * `not_supported`: the store does not support it, accepts but does not store it, or fails writes under it (then
 * undone).
 */
type SetupOutcome = 'done' | 'already' | 'not_supported' | 'failed';

interface StepResult {
  readonly outcome: SetupOutcome;
  readonly detail: string;
}

interface ChangeTools {
  readonly connection: S3Connection;
  readonly trial: TrialWrite;
  /** Whether writes worked before the first change; otherwise a trial write proves nothing. */
  readonly couldWrite: boolean;
  /** Called before each change, so that even a killed process has reported how to undo it. */
  readonly onChange: (change: { readonly step: string; readonly undoByHand: string }) => void;
}

interface SetupStep extends StepResult {
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
    await connection.send('CreateBucket', create);
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
    await connection.send('HeadBucket', head);
    return undefined;
  } catch (error) {
    if (error instanceof BucketError) return error;
    throw error;
  }
}

/**
 * Makes one change if it is needed, and undoes it if the bucket is worse afterwards.
 *
 * @throws BucketError if the store refuses the change; nothing is changed then.
 */
async function makeChange<State>(change: BucketChange<State>, tools: ChangeTools): Promise<StepResult> {
  const { connection, trial, couldWrite, onChange } = tools;
  const { settings } = connection;
  const before = await change.read(connection);
  const undoByHand = change.undoByHand(settings, before);
  const already = change.describe(before, settings);
  if (already !== undefined) {
    // An earlier run may have been killed before it could undo this.
    const doubt = `Writes fail while this is enabled; to check whether it is the cause, undo it by hand: ${undoByHand}`;
    return {
      outcome: 'already',
      detail: couldWrite || !change.mayBlockWrites ? already : `${already} ${doubt}`,
    };
  }

  onChange({ step: change.name, undoByHand });
  const failure = await failureOf(change.make(connection, before));
  if (failure !== undefined && failure.kind !== 'unavailable') throw failure;
  // After an error or a lost response the change may still have taken effect.
  const after = await readUntil(
    change,
    connection,
    (state) => change.describe(state, settings) !== undefined,
  );
  const made = after === undefined ? undefined : change.describe(after.state, settings);
  const problem = await problemOf(change, { before, after, trial: couldWrite ? trial : undefined, made });
  if (problem !== undefined) return undo(change, { ...tools, before, problem });
  if (made !== undefined) return { outcome: 'done', detail: made };
  if (failure !== undefined) throw failure;
  return {
    outcome: 'not_supported',
    detail: 'The store accepted the request but did not store the setting.',
  };
}

interface Read<State> {
  readonly state: State;
}

/** @returns undefined if the change is harmless, whether it took effect or not. */
async function problemOf<State>(
  change: BucketChange<State>,
  facts: {
    before: State;
    after: Read<State> | undefined;
    trial: TrialWrite | undefined;
    made: string | undefined;
  },
): Promise<string | undefined> {
  const { before, after, trial, made } = facts;
  const refusal = await trial?.failure();
  if (refusal !== undefined) return `${change.effect} the store fails writes (${refusal.message}).`;
  if (after === undefined) return `${change.effect}, the setting could not be read.`;
  const damage = change.damage?.(before, after.state);
  if (damage !== undefined) return damage;
  const isOther = made === undefined && !isDeepStrictEqual(before, after.state);
  return isOther ? 'The store stored a different setting than requested.' : undefined;
}

async function undo<State>(
  change: BucketChange<State>,
  { connection, trial, couldWrite, before, problem }: ChangeTools & { before: State; problem: string },
): Promise<StepResult> {
  const failure = await failureOf(change.undo(connection, before));
  const now = await readUntil(change, connection, (state) => change.isUndone(state, before));
  const isUndone = now !== undefined && change.isUndone(now.state, before);
  const writeFailure = couldWrite ? await failureOnceUndone(trial) : undefined;
  if (isUndone && writeFailure === undefined) {
    return { outcome: 'not_supported', detail: `${problem} The change was undone.` };
  }
  const why = failure ?? writeFailure;
  const reason = why === undefined ? 'the store still shows it' : why.message;
  return {
    outcome: 'failed',
    detail: `${problem} The change could not be undone (${reason}); undo it by hand: ${change.undoByHand(connection.settings, before)}`,
  };
}

/** Stores may apply the old setting for a moment. */
async function failureOnceUndone(trial: TrialWrite): Promise<BucketError | undefined> {
  let failure: BucketError | undefined;
  for (const pauseMs of PAUSES_MS) {
    await sleep(pauseMs);
    failure = await trial.failure();
    if (failure === undefined) return undefined;
  }
  return failure;
}

/** @returns the last state that was read; undefined if it could not be read. */
async function readUntil<State>(
  change: BucketChange<State>,
  connection: S3Connection,
  isThere: (state: State) => boolean,
): Promise<Read<State> | undefined> {
  let last: Read<State> | undefined;
  for (const pauseMs of PAUSES_MS) {
    await sleep(pauseMs);
    const failure = await failureOf(
      (async () => {
        last = { state: await change.read(connection) };
      })(),
    );
    if (failure === undefined && last !== undefined && isThere(last.state)) return last;
  }
  return last;
}
