import { fileURLToPath } from 'node:url';
import { benchProcess } from './bench-process.ts';
import { buildPrograms } from '../test/harness/build-programs.ts';
import { experiments } from './experiments.ts';

await benchProcess({
  experiments,
  build: buildPrograms,
  resultsFile: fileURLToPath(new URL('../docs/benchmarks/results.json', import.meta.url)),
});
