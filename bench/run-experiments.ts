import { z } from 'zod';
import { temporaryDirectory } from '../test/harness/temporary-directory.ts';
import { type Bench, type Experiment, type Findings, findingsSchema } from './experiment.ts';
import { messageOf } from './message-of.ts';
import type { Machine } from './report/machine.ts';
import type { Result } from './report/results.ts';

export interface Run {
  readonly quick: boolean;
  /** Describes the machine when the programs were compiled; each result has its own time. */
  readonly machine: Machine;
  readonly tell: (text: string) => void;
  /** Called after each experiment, so that an interruption loses no earlier results. */
  readonly found: (result: Result) => Promise<void>;
  readonly signal: AbortSignal;
}

export interface Outcome {
  readonly results: readonly Result[];
  /** One sentence per failed experiment; a failure does not stop the others. */
  readonly failures: readonly string[];
}

/** Runs the experiments sequentially. @throws the signal's reason, or errors of `found`. */
export async function runExperiments(experiments: readonly Experiment[], run: Run): Promise<Outcome> {
  const { quick, tell, signal } = run;
  const results: Result[] = [];
  const failures: string[] = [];
  for (const experiment of experiments) {
    const { name, title, about } = experiment;
    tell(`\n${name}: ${title}`);
    const machine = { ...run.machine, measuredAt: new Date().toISOString() };
    const findings = await measure(experiment, { quick, say: withTime(tell), signal }).catch(messageOf);
    signal.throwIfAborted();
    if (typeof findings === 'string') {
      tell(`  FAILED: ${findings}`);
      failures.push(`${name} failed: ${findings}`);
      continue;
    }
    const result = { name, title, about, machine, findings };
    results.push(result);
    await run.found(result);
  }
  return { results, failures };
}

async function measure(experiment: Experiment, bench: Omit<Bench, 'directory'>): Promise<Findings> {
  await using directory = await temporaryDirectory();
  const parsed = findingsSchema.safeParse(await experiment.run({ ...bench, directory }));
  if (!parsed.success) throw new Error(`its findings are none: ${z.prettifyError(parsed.error)}`);
  return parsed.data;
}

/** Prefixes each line with the experiment's running time. */
function withTime(tell: (text: string) => void): (text: string) => void {
  const startedAt = performance.now();
  return (text) => {
    const seconds = Math.floor((performance.now() - startedAt) / 1000);
    const clock = `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, '0')}`;
    tell(`${clock.padStart(7)}  ${text}`);
  };
}
