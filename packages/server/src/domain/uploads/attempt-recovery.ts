import type { ErrorCode } from '@backhaul/protocol';
import type { Clock } from '../ports/clock.ts';
import type { Log } from '../ports/log.ts';
import { MAX_GIVEN_UP, MAX_RESTARTS, pauseBeforeNext, remedyFor } from './attempt-failure.ts';
import { isLostByAge, lostAge, lostMessage } from './lost-multipart.ts';
import type { UploadEnding } from './upload-ending.ts';
import type { Stage } from './transitions.ts';
import type { UploadLedger } from './upload-ledger.ts';
import type { Upload } from './upload.ts';

/**
 * Decides after a failed attempt whether the upload fails, resumes with the parts that S3 has, or restarts. Callers
 * must hold the upload's lock.
 */
export class AttemptRecovery {
  readonly #ledger: UploadLedger;
  readonly #ending: UploadEnding;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #random: () => number;
  /** Called when a client's queue has an upload, with the earliest time of its next attempt. */
  readonly #onQueued: (clientId: string, notBefore: number | null) => void;

  constructor(deps: {
    ledger: UploadLedger;
    ending: UploadEnding;
    clock: Clock;
    log: Log;
    random: () => number;
    onQueued: (clientId: string, notBefore: number | null) => void;
  }) {
    this.#ledger = deps.ledger;
    this.#ending = deps.ending;
    this.#clock = deps.clock;
    this.#log = deps.log;
    this.#random = deps.random;
    this.#onQueued = deps.onQueued;
  }

  /** Decides by the error code what happens to the upload. */
  async handleFailure(
    upload: Upload,
    { error, message: said }: { readonly error: ErrorCode; readonly message: string },
    during: Stage = 'transfer',
  ): Promise<void> {
    const now = this.#clock.now();
    const isLost = error === 'upload_gone';
    const message = isLost ? `${said}${lostMessage(upload, now)}` : said;
    const remedy =
      isLost && isLostByAge(upload, now)
        ? ({ act: 'fail' } as const)
        : remedyFor(upload, error, this.#random);
    switch (remedy.act) {
      case 'fail': {
        await this.#ending.endLocked(upload, {
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
      waitMs = pauseBeforeNext(upload.setbacks, this.#random),
      during = 'transfer',
    }: { reason: string; waitMs?: number | null; during?: Stage },
  ): Promise<Upload | undefined> {
    const nextAttemptAt = this.#nextAttemptAt(waitMs);
    const queued = await this.#ledger.apply(upload, { type: 'interrupt', during, reason, nextAttemptAt });
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
      waitMs = pauseBeforeNext(upload.restarts, this.#random),
      during = 'transfer',
      lostAfterMs = null,
    }: { reason: string; waitMs?: number | null; during?: Stage; lostAfterMs?: number | null },
  ): Promise<Upload | undefined> {
    const nextAttemptAt = this.#nextAttemptAt(waitMs);
    const queued = await this.#ledger.apply(
      upload,
      { type: 'start_over', during, reason, nextAttemptAt, lostAfterMs },
      { clearParts: true },
    );
    if (queued === undefined) return undefined;
    this.#ending.abortAttempt(upload);
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
      const waitMs = pauseBeforeNext(upload.restarts + 1, this.#random);
      await this.startOver(upload, { reason, waitMs, during });
      return;
    }
    await this.#ending.endLocked(upload, {
      type: 'fail',
      error: 'storage_unavailable',
      message: `${reason} Restarted ${upload.restarts} times.`,
    });
  }

  #nextAttemptAt(waitMs: number | null): number | null {
    return waitMs === null ? null : this.#clock.now() + waitMs;
  }

  #queued(
    before: Upload,
    { uploadId, clientId, attempt, nextAttemptAt, stalledReason: reason }: Upload,
  ): void {
    this.#log.info({ uploadId, clientId, attempt, nextAttemptAt, reason }, 'upload requeued');
    this.#ending.notifyAgent(before, reason ?? 'the attempt has ended');
    this.#onQueued(clientId, nextAttemptAt);
  }
}

/** Sentence for users about earlier attempts. */
function triedBefore({ restarts, setbacks }: Upload, error: ErrorCode): string {
  if (error === 'read_failed') return ` It was tried ${setbacks + 1} times in a row.`;
  return restarts >= MAX_RESTARTS ? ` Restarted ${restarts} times.` : '';
}
