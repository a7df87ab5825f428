/**
 * Keeps a full disk or a closed pipe on standard output from ending the program with a stack trace. The output is only
 * informative, so the program continues and reports the error once; a closed pipe is not reported.
 */
export function surviveUnwritableOutput(program: string): void {
  process.stdout.once('error', (error: NodeJS.ErrnoException) => {
    process.stdout.on('error', () => {});
    if (error.code === 'EPIPE') return;
    process.exitCode = 1;
    process.stderr.write(`${program}: standard output cannot be written: ${error.message}\n`);
  });
  process.stderr.on('error', () => {});
}
