import { getSystemErrorMap } from 'node:util';

/** What a file was to be written to does not take it: a full disk, a missing right, a name that is taken. */
export class OutputError extends Error {
  override readonly name = 'OutputError';
  /** The path, or `standard output`. */
  readonly place: string;
  /** `ENOSPC`, `EACCES`, `EEXIST`, … */
  readonly errno: string;

  constructor(place: string, errno: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.place = place;
    this.errno = errno;
  }
}

/** Anything that the operating system did not say is returned as it is. */
export function asOutputError(error: unknown, place: string): unknown {
  if (!(error instanceof Error) || !('code' in error) || !('errno' in error)) return error;
  const [errno, reason] = getSystemErrorMap().get(Number(error.errno)) ?? [String(error.code), error.message];
  if (errno === 'EEXIST') {
    return new OutputError(place, errno, `${place} already exists.`, { cause: error });
  }
  return new OutputError(place, errno, `${place} cannot be written: ${reason} (${errno}).`, { cause: error });
}
