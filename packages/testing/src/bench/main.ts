import { fileURLToPath } from 'node:url';
import { benchProgram } from './bench-program.ts';
import { buildPrograms } from './build-programs.ts';
import { experiments } from './experiments.ts';

const stopping = new AbortController();
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(name, () => stopping.abort(new Error(`stopped by ${name}`)));
}

process.exitCode = await benchProgram({
  argv: process.argv.slice(2),
  experiments,
  build: buildPrograms,
  resultsFile: fileURLToPath(new URL('../../../../docs/benchmarks/results.json', import.meta.url)),
  stdout: (text) => void process.stdout.write(`${text}\n`),
  stderr: (text) => void process.stderr.write(`${text}\n`),
  signal: stopping.signal,
});
