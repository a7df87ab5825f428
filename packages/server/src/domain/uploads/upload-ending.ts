import { isTerminal } from '@backhaul/protocol';
import { type Bucket, BucketError, type CallOptions } from '../ports/bucket.ts';
import { KeyedLock } from '../keyed-lock.ts';
import type { Log } from '../ports/log.ts';
import type { AuditEvent } from '../ports/store.ts';
import { Semaphore } from '../semaphore.ts';
import type { SessionRegistry } from '../sessions/session-registry.ts';
import type { Transition } from './transitions.ts';
import type { UploadLedger } from './upload-ledger.ts';
import { type Upload, isRunning } from './upload.ts';

/** Aborts in the background at once; each may take as long as a call to a store that hangs. */
const MAX_ABORTS = 8;

type EndingTransition = Extract<
  Transition,
  { type: 'fail' | 'cancel' | 'cancel_completing' | 'expire' | 'prepare_timeout' }
>;

/**
 * Ends uploads without an object: first the guarded row, then, only if that was won, the agent is told and S3's
 * multipart upload aborted, in the background: nobody waits for the object store to end an upload. An abort that
 * fails is repeated by the sweeper, because the row keeps `multipartOpen`.
 */
export class UploadEnding {
  readonly #ledger: UploadLedger;
  readonly #bucket: Bucket;
  readonly #sessions: SessionRegistry;
  readonly #log: Log;
  /** Called when an agent has a free place again. */
  readonly #onEnded: (clientId: string) => void;
  readonly #aborts = new Set<Promise<unknown>>();
  readonly #places = new Semaphore(MAX_ABORTS);
  readonly #closings = new KeyedLock();

  constructor(parts: {
    ledger: UploadLedger;
    bucket: Bucket;
    sessions: SessionRegistry;
    log: Log;
    onEnded: (clientId: string) => void;
  }) {
    this.#ledger = parts.ledger;
    this.#bucket = parts.bucket;
    this.#sessions = parts.sessions;
    this.#log = parts.log;
    this.#onEnded = parts.onEnded;
  }

  /** @returns the ended upload; undefined when it had ended already, was removed, or is completing and cannot be ended so. */
  async end(uploadId: string, transition: EndingTransition, audit?: AuditEvent): Promise<Upload | undefined> {
    return this.#ledger.onNewest(uploadId, (upload) => this.endHeld(upload, transition, audit));
  }

  /** The same, for a caller that already runs exclusively for this upload. */
  async endHeld(
    upload: Upload,
    transition: EndingTransition,
    audit?: AuditEvent,
  ): Promise<Upload | undefined> {
    const ended = await this.#ledger.apply(upload, transition, {
      clearParts: true,
      ...(audit === undefined ? {} : { audit }),
    });
    if (ended === undefined) return undefined;
    this.#log.info(
      { uploadId: ended.uploadId, clientId: ended.clientId, status: ended.status, error: ended.error },
      'upload ended',
    );
    this.tellAgent(upload, ended.message ?? ended.status);
    this.#closeInBackground(ended);
    this.#onEnded(upload.clientId);
    return ended;
  }

  /** That an attempt is no longer wanted. @param upload As it was before. */
  tellAgent(upload: Upload, reason: string): void {
    if (!isRunning(upload)) return;
    this.#sessions.get(upload.clientId)?.send({
      action: 'cancel_upload',
      upload_id: upload.uploadId,
      attempt: upload.attempt,
      reason: reason.slice(0, 500),
    });
  }

  /** Aborts, in the background, the multipart upload of an attempt that its row no longer knows. */
  abandon({ uploadId, key, s3UploadId }: Upload): void {
    if (s3UploadId === null) return;
    this.#inBackground(async () => {
      try {
        await this.#bucket.abortMultipartUpload({ key, s3UploadId });
      } catch (error) {
        this.#log.warn(
          { uploadId, err: error },
          'abort of an attempt failed; the sweep for orphans repeats it',
        );
      }
    });
  }

  /** Resolves when no abort is under way in the background. */
  async idle(): Promise<void> {
    while (this.#aborts.size > 0) await Promise.all(this.#aborts);
  }

  #closeInBackground(upload: Upload): void {
    // A PutObject that was given up may take effect moments later. The sweeper looks later.
    if (upload.s3UploadId === null) return;
    if (upload.multipartOpen) this.#inBackground(() => this.closeMultipart(upload));
  }

  #inBackground(abort: () => Promise<unknown>): void {
    const running = this.#places.run(abort).finally(() => this.#aborts.delete(running));
    this.#aborts.add(running);
  }

  /**
   * Aborts what S3 still holds for an upload that has ended, and then removes what a Complete may have made whose answer
   * was lost: after the abort none can take effect. One at a time for each upload: a removal that is still under way
   * when the next attempt begins could take that one's object. Never rejects.
   *
   * @returns false when the store is away, so that asking it for the next would be in vain.
   */
  async closeMultipart(upload: Upload, options: CallOptions = {}): Promise<boolean> {
    if (!upload.multipartOpen || !isTerminal(upload.status)) return true;
    const closing = this.#closings.run(upload.uploadId, () => this.#close(upload, options));
    const { signal } = options;
    if (signal === undefined) return closing;
    if (signal.aborted) return false;
    const { promise: givenUp, resolve } = Promise.withResolvers<false>();
    const onAbort = (): void => resolve(false);
    signal.addEventListener('abort', onAbort);
    try {
      return await Promise.race([closing, givenUp]);
    } finally {
      signal.removeEventListener('abort', onAbort);
    }
  }

  async #close(upload: Upload, options: CallOptions): Promise<boolean> {
    const { key, s3UploadId } = upload;
    try {
      if (s3UploadId !== null) await this.#bucket.abortMultipartUpload({ key, s3UploadId }, options);
      if (mayHaveObject(upload)) await this.#removeObject(upload, options);
      await this.#ledger.apply(upload, { type: 'multipart_closed' });
      return true;
    } catch (error) {
      this.#log.warn({ uploadId: upload.uploadId, err: error }, 'abort failed; the sweeper repeats it');
      return error instanceof BucketError && error.kind !== 'unavailable';
    }
  }

  /** Only if it is this attempt's own, by its token. */
  async #removeObject({ uploadId, key, objectToken }: Upload, options: CallOptions): Promise<void> {
    const object = await this.#bucket.head(key, options);
    if (object === undefined || objectToken === null || object.token !== objectToken) return;
    await this.#bucket.deleteObject(key, { ...options, versionId: object.versionId });
    this.#log.info({ uploadId, key }, 'object of an upload that did not complete removed');
  }
}

/** Only with all parts sent Complete is called; one that was refused for its parts had them once. */
function mayHaveObject({ status, partCount, partsCompleted, refusedCompletions }: Upload): boolean {
  return status !== 'completed' && (partsCompleted === partCount || refusedCompletions > 0);
}
