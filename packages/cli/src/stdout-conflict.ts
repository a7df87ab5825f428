import type { Output } from './output.ts';
import { UsageError } from './usage-error.ts';

/** @throws UsageError if both the file and JSON would be written to standard output. */
export function assertNoStdoutConflict({ json }: Output, path: string | undefined): void {
  if (json && path === '-') {
    throw new UsageError(
      '--json and "--output -" would both write to standard output.',
      'Give --output a path, or leave out --json.',
    );
  }
}
