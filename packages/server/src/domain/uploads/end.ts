import { isTerminal } from '@backhaul/protocol';
import type { SessionRegistry } from '../agents/session.ts';
import { KeyedLock, Semaphore } from '../concurrency.ts';
import { type Bucket, BucketError, type CallOptions } from '../ports/bucket.ts';
import type { Log } from '../ports/log.ts';
import type { AuditEvent } from '../ports/store.ts';
import type { UploadLedger } from './ledger.ts';
import type { Transition } from './state-machine.ts';
import { isRunning, type Upload } from './upload.ts';

/** Maximum number of background aborts at once; each may take as long as a call to a hanging store. */
const MAX_ABORTS = 8;

type EndingTransition = Extract<
  Transition,
  { type: 'fail' | 'cancel' | 'cancel_completing' | 'expire' | 'prepare_timeout' }
>;

interface UploadEndingDeps {
  readonly ledger: UploadLedger;
  readonly bucket: Bucket;
  readonly sessions: SessionRegistry;
  readonly log: Log;
  /** Called when an agent has a free slot again. */
  readonly onEnded: (clientId: string) => void;
}

/**
 * Ends uploads without an object: first the guarded row; only if that write wins, the agent is notified and S3's
 * multipart upload aborted in the background, so that ending an upload never waits for the object store. Failed
 * aborts are retried by the sweeper, because the row keeps `multipartOpen`.
 */
export class UploadEnding {
  readonly #deps: UploadEndingDeps;
  readonly #aborts = new Set<Promise<unknown>>();
  readonly #slots = new Semaphore(MAX_ABORTS);
  /** Apart from the ledger's lock: nothing about an upload may wait for an abort at a hanging store. */
  readonly #closings = new KeyedLock();

  constructor(deps: UploadEndingDeps) {
    this.#deps = deps;
  }

  /**
   * @returns the ended upload; undefined when it had already ended, was removed, or is completing and cannot be ended
   *   this way.
   */
  async end(uploadId: string, transition: EndingTransition, audit?: AuditEvent): Promise<Upload | undefined> {
    return this.#deps.ledger.onNewest(uploadId, (upload) => this.endLocked(upload, transition, audit));
  }

  /** Like {@link end}, for callers that hold the upload's lock. */
  async endLocked(
    upload: Upload,
    transition: EndingTransition,
    audit?: AuditEvent,
  ): Promise<Upload | undefined> {
    const ended = await this.#deps.ledger.apply(upload, transition, {
      clearParts: true,
      ...(audit === undefined ? {} : { audit }),
    });
    if (ended === undefined) return undefined;
    this.#deps.log.info(
      { uploadId: ended.uploadId, clientId: ended.clientId, status: ended.status, error: ended.error },
      'upload ended',
    );
    this.notifyAgent(upload, ended.message ?? ended.status);
    this.#closeInBackground(ended);
    this.#deps.onEnded(upload.clientId);
    return ended;
  }

  /** Tells the agent that the attempt is no longer wanted. @param upload Its previous state. */
  notifyAgent(upload: Upload, reason: string): void {
    if (!isRunning(upload)) return;
    this.#deps.sessions.get(upload.clientId)?.send({
      action: 'cancel_upload',
      upload_id: upload.uploadId,
      attempt: upload.attempt,
      reason: reason.slice(0, 500),
    });
  }

  /** Aborts, in the background, the multipart upload of an attempt that its row no longer has. */
  abortAttempt({ uploadId, key, s3UploadId }: Upload): void {
    if (s3UploadId === null) return;
    this.#inBackground(async () => {
      try {
        await this.#deps.bucket.abortMultipartUpload({ key, s3UploadId });
      } catch (error) {
        this.#deps.log.warn(
          { uploadId, err: error },
          'abort of an attempt failed; the sweep for orphans will retry',
        );
      }
    });
  }

  /** Resolves when no background abort is running. */
  async idle(): Promise<void> {
    while (this.#aborts.size > 0) await Promise.all(this.#aborts);
  }

  #closeInBackground(upload: Upload): void {
    // An aborted PutObject may take effect moments later; the sweeper checks for it.
    if (upload.s3UploadId === null) return;
    if (upload.multipartOpen) this.#inBackground(() => this.closeMultipart(upload));
  }

  #inBackground(abort: () => Promise<unknown>): void {
    const running = this.#slots.run(abort).finally(() => this.#aborts.delete(running));
    this.#aborts.add(running);
  }

  /**
   * Aborts the multipart upload of an ended upload, then removes the object that a Complete without response may have
   * created: after the abort none can take effect. One at a time for each upload: a removal still running when the
   * next attempt starts could remove that attempt's object. Never rejects.
   *
   * @returns false when the store is unavailable, so that calling it for the next upload is pointless.
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
      if (s3UploadId !== null) await this.#deps.bucket.abortMultipartUpload({ key, s3UploadId }, options);
      if (mayHaveObject(upload)) await this.#removeObject(upload, options);
      await this.#deps.ledger.apply(upload, { type: 'multipart_closed' });
      return true;
    } catch (error) {
      this.#deps.log.warn({ uploadId: upload.uploadId, err: error }, 'abort failed; the sweeper will retry');
      return error instanceof BucketError && error.kind !== 'unavailable';
    }
  }

  /** Removes the object only if its token is this attempt's. */
  async #removeObject({ uploadId, key, objectToken }: Upload, options: CallOptions): Promise<void> {
    const object = await this.#deps.bucket.head(key, options);
    if (object === undefined || objectToken === null || object.token !== objectToken) return;
    await this.#deps.bucket.deleteObject(key, { ...options, versionId: object.versionId });
    this.#deps.log.info({ uploadId, key }, 'object of an incomplete upload removed');
  }
}

/** Complete is called only after all parts were sent; an upload whose Complete was refused had them all once. */
function mayHaveObject({ status, partCount, partsCompleted, refusedCompletions }: Upload): boolean {
  return status !== 'completed' && (partsCompleted === partCount || refusedCompletions > 0);
}
