import type { ErrorCode } from '@backhaul/protocol';
import type { Clock } from '../ports/clock.ts';
import type { Log } from '../ports/log.ts';
import type { UploadLedger } from './ledger.ts';
import type { Stage } from './state-machine.ts';
import type { UploadEnding } from './end.ts';
import type { Upload } from './upload.ts';

interface AttemptRecoveryDeps {
  readonly ledger: UploadLedger;
  readonly ending: UploadEnding;
  readonly clock: Clock;
  readonly log: Log;
  readonly random: () => number;
  /** Called when a client's queue has an upload, with the earliest time of its next attempt. */
  readonly onQueued: (clientId: string, notBefore: number | null) => void;
}

/**
 * Decides after a failed attempt whether the upload fails, resumes with the parts that S3 has, or restarts. Callers
 * must hold the upload's lock.
 */
export class AttemptRecovery {
  readonly #deps: AttemptRecoveryDeps;

  constructor(deps: AttemptRecoveryDeps) {
    this.#deps = deps;
  }

  /** Decides by the error code what happens to the upload. */
  async handleFailure(
    upload: Upload,
    { error, message: said }: { readonly error: ErrorCode; readonly message: string },
    during: Stage = 'transfer',
  ): Promise<void> {
    const now = this.#deps.clock.now();
    const isLost = error === 'upload_gone';
    const message = isLost ? `${said}${lostMessage(upload, now)}` : said;
    const remedy =
      isLost && isLostByAge(upload, now)
        ? ({ act: 'fail' } as const)
        : remedyFor(upload, error, this.#deps.random);
    switch (remedy.act) {
      case 'fail': {
        await this.#deps.ending.endLocked(upload, {
          type: 'fail',
          error,
          message: `${message}${triedBefore(upload, error)}`,
        });
        return;
      }
      case 'interrupt':
        await this.interrupt(upload, { reason: message, waitMs: remedy.waitMs, during });
        return;
      case 'start_over':
        await this.startOver(upload, {
          reason: message,
          waitMs: remedy.waitMs,
          during,
          lostAfterMs: isLost ? lostAge(upload, now) : null,
        });
        return;
    }
    remedy satisfies never;
  }

  /**
   * Requeues the upload; the next attempt continues with the parts that S3 has by then.
   *
   * @param options.waitMs Default: none, but a growing delay if the last attempts stored nothing either.
   * @returns the queued upload; undefined if its status has changed.
   */
  async interrupt(
    upload: Upload,
    {
      reason,
      waitMs = pauseBeforeNext(upload.setbacks, this.#deps.random),
      during = 'transfer',
    }: { reason: string; waitMs?: number | null; during?: Stage },
  ): Promise<Upload | undefined> {
    const nextAttemptAt = this.#nextAttemptAt(waitMs);
    const queued = await this.#deps.ledger.apply(upload, {
      type: 'interrupt',
      during,
      reason,
      nextAttemptAt,
    });
    if (queued !== undefined) this.#queued(upload, queued);
    return queued;
  }

  /**
   * Requeues the upload from scratch; the parts that S3 has are aborted.
   *
   * @param options.waitMs Default: none, but a growing delay if this has happened before.
   */
  async startOver(
    upload: Upload,
    {
      reason,
      waitMs = pauseBeforeNext(upload.restarts, this.#deps.random),
      during = 'transfer',
      lostAfterMs = null,
    }: { reason: string; waitMs?: number | null; during?: Stage; lostAfterMs?: number | null },
  ): Promise<Upload | undefined> {
    const nextAttemptAt = this.#nextAttemptAt(waitMs);
    const queued = await this.#deps.ledger.apply(
      upload,
      { type: 'start_over', during, reason, nextAttemptAt, lostAfterMs },
      { clearParts: true },
    );
    if (queued === undefined) return undefined;
    this.#deps.ending.abortAttempt(upload);
    this.#queued(upload, queued);
    return queued;
  }

  /** The store keeps failing for this multipart upload but accepts others. */
  async giveUpParts(
    upload: Upload,
    { message, during }: { readonly message: string; readonly during: Stage },
  ): Promise<void> {
    const reason = `The object store keeps failing for the parts already sent, although it accepts new uploads: ${message}`;
    if (upload.restarts < MAX_GIVEN_UP) {
      // Never immediately: the store's failure may be transient after all.
      const waitMs = pauseBeforeNext(upload.restarts + 1, this.#deps.random);
      await this.startOver(upload, { reason, waitMs, during });
      return;
    }
    await this.#deps.ending.endLocked(upload, {
      type: 'fail',
      error: 'storage_unavailable',
      message: `${reason} Restarted ${upload.restarts} times.`,
    });
  }

  #nextAttemptAt(waitMs: number | null): number | null {
    return waitMs === null ? null : this.#deps.clock.now() + waitMs;
  }

  #queued(
    before: Upload,
    { uploadId, clientId, attempt, nextAttemptAt, stalledReason: reason }: Upload,
  ): void {
    this.#deps.log.info({ uploadId, clientId, attempt, nextAttemptAt, reason }, 'upload requeued');
    this.#deps.ending.notifyAgent(before, reason ?? 'the attempt has ended');
    this.#deps.onQueued(clientId, nextAttemptAt);
  }
}

/** Sentence for users about earlier attempts. */
function triedBefore({ restarts, setbacks }: Upload, error: ErrorCode): string {
  if (error === 'read_failed') return ` It was tried ${setbacks + 1} times in a row.`;
  return restarts >= MAX_RESTARTS ? ` Restarted ${restarts} times.` : '';
}

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

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
/** Younger ones were not lost to an age limit: no store or rule has one so short. */
const MIN_LIMIT_MS = HOUR_MS;

/** The multipart upload of an attempt, and the age of the last one that the store dropped. */
type Multipart = Pick<Upload, 'multipartCreatedAt' | 'lostAfterMs'>;

/** Age in milliseconds of a multipart upload found missing; null if its creation was not recorded. */
function lostAge({ multipartCreatedAt }: Multipart, now: number): number | null {
  return multipartCreatedAt === null ? null : Math.max(0, now - multipartCreatedAt);
}

/**
 * Whether the store has an age limit that this upload cannot meet: it dropped two multipart uploads in a row, both
 * old, at about the same age. A third would take as long and end the same way.
 */
function isLostByAge(upload: Multipart, now: number): boolean {
  const age = lostAge(upload, now);
  const before = upload.lostAfterMs;
  if (age === null || before === null || Math.min(age, before) < MIN_LIMIT_MS) return false;
  return age >= before / 2 && age <= before * 2;
}

/** Sentences for users: what the store did, and what to set. */
function lostMessage(upload: Multipart, now: number): string {
  const age = lostAge(upload, now);
  if (age === null) return '';
  return (
    ` The multipart upload was created ${readableAge(age)} earlier; unless it was aborted by someone, the store dropped it.` +
    ' Some stores and lifecycle rules drop incomplete multipart uploads by age: MinIO after 24 hours by default' +
    ' (`mc admin config set ALIAS api stale_uploads_expiry=168h`), S3 by a rule with AbortIncompleteMultipartUpload.' +
    ' The limit must be longer than the transfer takes.'
  );
}

function readableAge(ms: number): string {
  if (ms < 2 * MINUTE_MS) return `${Math.round(ms / 1000)} s`;
  if (ms < 2 * HOUR_MS) return `${Math.round(ms / MINUTE_MS)} minutes`;
  return `${(ms / HOUR_MS).toFixed(1)} hours`;
}
