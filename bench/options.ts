import { parseArgs } from 'node:util';
import type { Experiment } from './experiment.ts';

export const help = `Usage: npm run bench [-- OPTIONS]

Measures the compiled programs, each as a process of its own, next to other tools where there are any, and says which
requirements are met. Takes some minutes; nothing else should run on the machine meanwhile.

  --only NAME…  these experiments only
  --list        what experiments there are
  --quick       seconds instead of minutes: shows that the experiments work, and the figures mean little
  --strict      exit 1 if a requirement is missed, which otherwise is only said
  --save        keep the results in docs/benchmarks/results.json, in place of older ones of the same experiments;
                then npm run docs draws them into docs/benchmarks.md
  --json        the results as JSON on standard output, and progress on standard error
  --help        this text

Exits 0 when all was measured, 1 when an experiment failed, 2 for a mistake in the options, 130 after Ctrl-C.

Examples:
  npm run bench
  npm run bench -- --list
  npm run bench -- --only signing --quick
  npm run bench -- --only signing agents --save
  npm run --silent bench -- --quick --strict --json > results.json
`;

export interface BenchOptions {
  /** Names of experiments in the given order; undefined for all. */
  readonly only: readonly string[] | undefined;
  readonly list: boolean;
  readonly quick: boolean;
  readonly strict: boolean;
  readonly save: boolean;
  readonly json: boolean;
}

/** @returns undefined if only the help was requested. @throws Error that names what to change. */
export function parseBenchOptions(
  argv: readonly string[],
  experiments: readonly Pick<Experiment, 'name'>[],
): BenchOptions | undefined {
  const { values, positionals } = parseArgs({
    args: [...argv],
    allowPositionals: true,
    options: {
      only: { type: 'string', multiple: true },
      list: { type: 'boolean', default: false },
      quick: { type: 'boolean', default: false },
      strict: { type: 'boolean', default: false },
      save: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.help) return undefined;
  const { only: first, list, quick, strict, save, json } = values;
  // parseArgs takes one value per --only; further names arrive as positionals.
  if (first === undefined && positionals.length > 0) {
    throw new Error(`"${positionals.join(' ')}" is no option: experiments are named by --only NAME…`);
  }
  const only = first === undefined ? undefined : [...first, ...positionals];
  const names = experiments.map(({ name }) => name);
  const unknown = only?.find((name) => !names.includes(name));
  if (unknown !== undefined) {
    throw new Error(`--only ${unknown}: there is no such experiment; there are: ${names.join(', ')}`);
  }
  if (save && quick) throw new Error('--save keeps no results of --quick, which mean little: leave one out');
  return { only, list, quick, strict, save, json };
}
