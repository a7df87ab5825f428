import { getSystemErrorMap } from 'node:util';

/** The output could not be written: full disk, missing permission, or existing file. */
export class OutputError extends Error {
  override readonly name = 'OutputError';
  /** The path, or `standard output`. */
  readonly target: string;
  /** `ENOSPC`, `EACCES`, `EEXIST`, … */
  readonly errno: string;

  constructor(target: string, errno: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.target = target;
    this.errno = errno;
  }
}

/** Converts errors of the operating system; returns other errors unchanged. */
export function asOutputError(error: unknown, target: string): unknown {
  if (!(error instanceof Error) || !('code' in error) || !('errno' in error)) return error;
  const [errno, reason] = getSystemErrorMap().get(Number(error.errno)) ?? [String(error.code), error.message];
  if (errno === 'EEXIST') {
    return new OutputError(target, errno, `${target} already exists.`, { cause: error });
  }
  return new OutputError(target, errno, `${target} cannot be written: ${reason} (${errno}).`, {
    cause: error,
  });
}
