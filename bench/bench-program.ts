import { isMet, type Experiment } from './experiment.ts';
import { messageOf } from './message-of.ts';
import { type BenchOptions, help, parseBenchOptions } from './options.ts';
import { describeMachine } from './report/machine.ts';
import { renderResults, saveResult } from './report/results.ts';
import { renderFindings, renderVerdict } from './report/terminal.ts';
import { runExperiments } from './run-experiments.ts';

export interface BenchProgram {
  readonly argv: readonly string[];
  /** Sorted by execution order. */
  readonly experiments: readonly Experiment[];
  /** Compiles the programs to measure. */
  readonly build: (options: { signal: AbortSignal }) => Promise<void>;
  /** File in which `--save` stores results. */
  readonly resultsFile: string;
  /** Each call writes one or more lines. */
  readonly stdout: (text: string) => void;
  readonly stderr: (text: string) => void;
  readonly signal: AbortSignal;
}

/** Runs `npm run bench`. @returns The exit code. */
export async function benchProgram(program: BenchProgram): Promise<number> {
  const { argv, experiments, stdout, stderr, signal } = program;
  let options: BenchOptions | undefined;
  try {
    options = parseBenchOptions(argv, experiments);
  } catch (error) {
    stderr(`bench: ${messageOf(error)}`);
    return 2;
  }
  if (options === undefined) {
    stdout(help.trimEnd());
    return 0;
  }
  if (options.list) {
    const width = Math.max(0, ...experiments.map(({ name }) => name.length));
    for (const { name, title } of experiments) stdout(`${name.padEnd(width)}  ${title}`);
    return 0;
  }
  try {
    return await measureAll(program, options);
  } catch (error) {
    // The abort may have caused any of the failures.
    if (signal.aborted) return 130;
    stderr(`bench: ${messageOf(error)}`);
    return 1;
  }
}

async function measureAll(program: BenchProgram, options: BenchOptions): Promise<number> {
  const { experiments, build, resultsFile, stdout, stderr, signal } = program;
  const tell = options.json ? stderr : stdout;
  const isWanted = ({ name }: Experiment) => options.only === undefined || options.only.includes(name);
  const wanted = experiments.filter(isWanted);
  tell('Compiling the programs');
  const machine = await describeMachine({ now: new Date(), signal });
  await build({ signal });
  const { results, failures } = await runExperiments(wanted, {
    quick: options.quick,
    machine,
    tell,
    signal,
    async found(result) {
      tell(`\n${renderFindings(result.findings)}`);
      if (!options.save) return;
      await saveResult(
        resultsFile,
        result,
        experiments.map(({ name }) => name),
      );
    },
  });
  if (options.json) stdout(renderResults(results).trimEnd());
  const requirements = results.flatMap(({ findings }) => findings.requirements);
  tell(`\n${renderVerdict(requirements)}`);
  for (const failure of failures) stderr(`bench: ${failure}`);
  if (options.save && results.length > 0) tell('Saved; npm run docs draws them into docs/benchmarks.md');
  const isMissed = requirements.some((requirement) => !isMet(requirement));
  return failures.length > 0 || (options.strict && isMissed) ? 1 : 0;
}
