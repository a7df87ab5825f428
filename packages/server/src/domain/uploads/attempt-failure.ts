import type { ErrorCode } from '@backhaul/protocol';
import type { Upload } from './upload.ts';

/** A restart costs the whole transfer, and a file that changed each of these times will change again. */
export const MAX_RESTARTS = 5;
/** Fewer restarts for a failing store: it is likely to lose the parts again. */
export const MAX_GIVEN_UP = 3;
const RESTART_BASE_MS = 1000;
const RESTART_CAP_MS = 60_000;

/** Agents retry for minutes themselves before they report the store as unavailable. */
const OUTAGE_BASE_MS = 15_000;
const OUTAGE_CAP_MS = 600_000;
/** A file that could not be read in this many attempts in a row, none of which stored a part, stays unreadable. */
export const MAX_UNREADABLE = 6;

/** Maximum delay before any next attempt. */
export const MAX_WAIT_MS = OUTAGE_CAP_MS;

/** What happens to an upload after a failed attempt. Delays are before the next attempt. */
export type Remedy =
  | { readonly act: 'fail' }
  /** Continue with the parts that S3 has. */
  | { readonly act: 'interrupt'; readonly waitMs: number }
  /** Restart with the current version of the file. */
  | { readonly act: 'start_over'; readonly waitMs: number };

/**
 * Delay after an attempt was interrupted, before the next one; null for none. An upload that is interrupted again and
 * again without progress, because it crashes its agent, must let the others go first.
 *
 * @param before How often that has happened already.
 */
export function pauseBeforeNext(before: number, random: () => number): number | null {
  return before === 0 ? null : backoff(before - 1, RESTART_BASE_MS, RESTART_CAP_MS, random);
}

/** Stall reason, shown to users, of an upload that only waits for the object store. */
export function waitingForStore({ message }: Pick<Error, 'message'>): string {
  return `Waiting for the object store: ${message}`;
}

/** @param random In [0, 1): many uploads that failed together must not retry together. */
export function remedyFor(
  upload: Pick<Upload, 'onChange' | 'restarts' | 'setbacks'>,
  error: ErrorCode,
  random: () => number,
): Remedy {
  switch (error) {
    case 'storage_unavailable':
    // Reported by an agent that stored no part for very long; the server enforces the upload's own deadline.
    case 'upload_expired':
      return { act: 'interrupt', waitMs: backoff(upload.setbacks, OUTAGE_BASE_MS, OUTAGE_CAP_MS, random) };
    // Disks and shares have transient errors, but agents retry for seconds before they report one.
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

/** Half of the delay is fixed: users see it as the time of the next try, so it should not be near zero. */
function backoff(failures: number, baseMs: number, capMs: number, random: () => number): number {
  const ceiling = Math.min(capMs, baseMs * 2 ** Math.min(failures, 20));
  return Math.round(ceiling * (0.5 + random() / 2));
}
