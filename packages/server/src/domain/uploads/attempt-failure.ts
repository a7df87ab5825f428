import type { ErrorCode } from '@backhaul/protocol';
import type { Upload } from './upload.ts';

/** Beginning anew costs the whole transfer; a file that changed each of these times will change again. */
export const MAX_RESTARTS = 5;
/** Fewer of those for a store that fails: what it lost so often, it is likely to lose again. */
export const MAX_GIVEN_UP = 3;
const RESTART_BASE_MS = 1000;
const RESTART_CAP_MS = 60_000;

/** Before an agent reports the store as unavailable it has tried for minutes itself. */
const OUTAGE_BASE_MS = 15_000;
const OUTAGE_CAP_MS = 600_000;
/** A file that could not be read in so many attempts in a row, none of which stored a part, stays unreadable. */
export const MAX_UNREADABLE = 6;

/** Before any next attempt. */
export const LONGEST_WAIT_MS = OUTAGE_CAP_MS;

/** What becomes of an upload whose attempt failed. Waits are before the next attempt. */
export type Remedy =
  | { readonly act: 'fail' }
  /** Go on with what S3 holds. */
  | { readonly act: 'interrupt'; readonly waitMs: number }
  /** Begin anew with what the file is then. */
  | { readonly act: 'start_over'; readonly waitMs: number };

/**
 * How long an attempt that was cut off waits before the next; null for not at all. One that is cut off again and again
 * without getting further, because it takes its agent down with it, must leave the others their turn.
 *
 * @param before How often that has happened already.
 */
export function pauseBeforeNext(before: number, random: () => number): number | null {
  return before === 0 ? null : backoff(before - 1, RESTART_BASE_MS, RESTART_CAP_MS, random);
}

/** Why an upload stands still that only waits for the object store, for people. */
export function storeAway({ message }: Pick<Error, 'message'>): string {
  return `Waiting for the object store: ${message}`;
}

/** @param random In [0, 1): many uploads that failed together must not come back together. */
export function remedyFor(
  upload: Pick<Upload, 'onChange' | 'restarts' | 'setbacks'>,
  error: ErrorCode,
  random: () => number,
): Remedy {
  switch (error) {
    case 'storage_unavailable':
    // Of the agent, which stored no part for very long; the upload's own deadline is the server's to keep.
    case 'upload_expired':
      return { act: 'interrupt', waitMs: backoff(upload.setbacks, OUTAGE_BASE_MS, OUTAGE_CAP_MS, random) };
    // A disk or share may have a bad moment; before an agent reports it, it has read again for seconds itself.
    case 'read_failed':
      if (upload.setbacks + 1 >= MAX_UNREADABLE) return { act: 'fail' };
      return { act: 'interrupt', waitMs: backoff(upload.setbacks, OUTAGE_BASE_MS, OUTAGE_CAP_MS, random) };
    case 'file_changed':
      if (upload.onChange !== 'restart' || upload.restarts >= MAX_RESTARTS) return { act: 'fail' };
      return { act: 'start_over', waitMs: backoff(upload.restarts, RESTART_BASE_MS, RESTART_CAP_MS, random) };
    case 'upload_gone':
      if (upload.restarts >= MAX_RESTARTS) return { act: 'fail' };
      return { act: 'start_over', waitMs: backoff(upload.restarts, RESTART_BASE_MS, RESTART_CAP_MS, random) };
    default:
      return { act: 'fail' };
  }
}

/** Half of it certain: a wait shown to people as the time of the next try should not be next to nothing. */
function backoff(failures: number, baseMs: number, capMs: number, random: () => number): number {
  const ceiling = Math.min(capMs, baseMs * 2 ** Math.min(failures, 20));
  return Math.round(ceiling * (0.5 + random() / 2));
}
