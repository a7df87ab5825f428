import { isDeepStrictEqual } from 'node:util';
import { setTimeout as sleep } from 'node:timers/promises';
import type { BucketError } from '../domain/ports/bucket.ts';
import type { BucketChange } from './bucket-changes.ts';
import type { S3Connection } from './s3-connection.ts';
import { failureOf, type TrialWrite } from './trial-write.ts';

/**
 * `not_supported`: the store does not support it, accepts but does not store it, or fails writes under it (then
 * undone).
 */
export type SetupOutcome = 'done' | 'already' | 'not_supported' | 'failed';

export interface StepResult {
  readonly outcome: SetupOutcome;
  readonly detail: string;
}

export interface ChangeTools {
  readonly connection: S3Connection;
  readonly trial: TrialWrite;
  /** Whether writes worked before the first change; otherwise a trial write proves nothing. */
  readonly couldWrite: boolean;
  /** Called before each change, so that even a killed process has reported how to undo it. */
  readonly onChange: (change: { readonly step: string; readonly undoByHand: string }) => void;
}

/** S3 may take a moment to show or apply a new configuration. */
const PAUSES_MS = [0, 500, 2_000];

/**
 * Makes one change if it is needed, and undoes it if the bucket is worse afterwards.
 *
 * @throws BucketError if the store refuses the change; nothing is changed then.
 */
export async function makeChange<State>(
  change: BucketChange<State>,
  tools: ChangeTools,
): Promise<StepResult> {
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
