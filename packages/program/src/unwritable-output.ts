/**
 * A full disk or a reader that has gone must not end a program by a stack. What is said on standard output is for a
 * person, or said elsewhere too: the program goes on, and says once what is wrong; a reader that has left knows.
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
