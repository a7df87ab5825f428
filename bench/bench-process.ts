import { type BenchProgram, benchProgram } from './bench-program.ts';

/** Runs `npm run bench` with this process's arguments, streams, signals and exit code. */
export async function benchProcess(
  program: Pick<BenchProgram, 'experiments' | 'build' | 'resultsFile'>,
): Promise<void> {
  const stopping = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(name, () => stopping.abort(new Error(`stopped by ${name}`)));
  }
  process.exitCode = await benchProgram({
    ...program,
    argv: process.argv.slice(2),
    stdout: (text) => void process.stdout.write(`${text}\n`),
    stderr: (text) => void process.stderr.write(`${text}\n`),
    signal: stopping.signal,
  });
}
