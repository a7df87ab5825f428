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
 * What happens to an upload whose attempt came to nothing: it fails, or goes back to the queue, to go on with what
 * S3 holds or to begin anew. For callers that run exclusively for the upload.
 */
export class AttemptRecovery {
  readonly #ledger: UploadLedger;
  readonly #ending: UploadEnding;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #random: () => number;
  /** Told when there is something in a client's queue, and from when on. */
  readonly #onQueued: (clientId: string, notBefore: number | null) => void;

  constructor(parts: {
    ledger: UploadLedger;
    ending: UploadEnding;
    clock: Clock;
    log: Log;
    random: () => number;
    onQueued: (clientId: string, notBefore: number | null) => void;
  }) {
    this.#ledger = parts.ledger;
    this.#ending = parts.ending;
    this.#clock = parts.clock;
    this.#log = parts.log;
    this.#random = parts.random;
    this.#onQueued = parts.onQueued;
  }

  /** Decides by the error what becomes of the upload. */
  async settle(
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
        await this.#ending.endHeld(upload, {
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
   * The next attempt goes on with the parts that S3 holds by then.
   *
   * @param options.waitMs Default: at once, but after a growing pause if the last ones stored nothing either.
   * @returns the queued upload; undefined if it had moved on.
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
   * The next attempt begins with nothing; what S3 holds of this one is aborted.
   *
   * @param options.waitMs Default: at once, but after a growing pause if that has happened before.
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
    this.#ending.abandon(upload);
    this.#queued(upload, queued);
    return queued;
  }

  /** The store fails whenever it is asked for this multipart upload, and is well otherwise. */
  async giveUpParts(
    upload: Upload,
    { message, during }: { readonly message: string; readonly during: Stage },
  ): Promise<void> {
    const reason = `The object store keeps failing for what was sent, although it takes new uploads: ${message}`;
    if (upload.restarts < MAX_GIVEN_UP) {
      // Never at once: the store may have a bad moment after all.
      const waitMs = pauseBeforeNext(upload.restarts + 1, this.#random);
      await this.startOver(upload, { reason, waitMs, during });
      return;
    }
    await this.#ending.endHeld(upload, {
      type: 'fail',
      error: 'storage_unavailable',
      message: `${reason} It was begun anew ${upload.restarts} times.`,
    });
  }

  #nextAttemptAt(waitMs: number | null): number | null {
    return waitMs === null ? null : this.#clock.now() + waitMs;
  }

  #queued(
    before: Upload,
    { uploadId, clientId, attempt, nextAttemptAt, stalledReason: reason }: Upload,
  ): void {
    this.#log.info({ uploadId, clientId, attempt, nextAttemptAt, reason }, 'upload back in the queue');
    this.#ending.tellAgent(before, reason ?? 'the attempt is over');
    this.#onQueued(clientId, nextAttemptAt);
  }
}

/** For people. */
function triedBefore({ restarts, setbacks }: Upload, error: ErrorCode): string {
  if (error === 'read_failed') return ` It was tried ${setbacks + 1} times in a row.`;
  return restarts >= MAX_RESTARTS ? ` It was begun anew ${restarts} times.` : '';
}
