import type { Output } from './output.ts';
import { UsageError } from './usage-error.ts';

/** @throws UsageError if both a file and JSON are to go to standard output. */
export function assertUndividedOutput({ json }: Output, path: string | undefined): void {
  if (json && path === '-') {
    throw new UsageError(
      '--json and "--output -" would both write to standard output.',
      'Give --output a path, or leave --json out.',
    );
  }
}
