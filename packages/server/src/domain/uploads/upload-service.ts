import { BackhaulError, isTerminal } from '@backhaul/protocol';
import { type Bucket, BucketError } from '../ports/bucket.ts';
import type { Bus } from '../ports/bus.ts';
import type { Clock } from '../ports/clock.ts';
import type { Store, UploadFilter } from '../ports/store.ts';
import type { UploadSettings } from '../upload-settings.ts';
import type { Dispatcher } from './dispatcher.ts';
import type { Expiry } from './expiry.ts';
import type { PullIntake, PullRequest } from './pull-intake.ts';
import type { UploadEnding } from './upload-ending.ts';
import type { UploadLedger } from './upload-ledger.ts';
import type { Upload } from './upload.ts';

/** What operators can do with uploads. Every verb names the operator, for the audit. */
export class UploadService {
  readonly #store: Store;
  readonly #bucket: Bucket;
  readonly #bus: Bus;
  readonly #clock: Clock;
  readonly #ledger: UploadLedger;
  readonly #ending: UploadEnding;
  readonly #dispatcher: Dispatcher;
  readonly #expiry: Expiry;
  readonly #intake: PullIntake;
  readonly #settings: UploadSettings;
  readonly #pollMs: number;

  constructor(parts: {
    store: Store;
    bucket: Bucket;
    bus: Bus;
    clock: Clock;
    ledger: UploadLedger;
    ending: UploadEnding;
    dispatcher: Dispatcher;
    expiry: Expiry;
    intake: PullIntake;
    settings: UploadSettings;
    /** How often a wait looks for itself, in case hints get lost. */
    pollMs: number;
  }) {
    this.#store = parts.store;
    this.#bucket = parts.bucket;
    this.#bus = parts.bus;
    this.#clock = parts.clock;
    this.#ledger = parts.ledger;
    this.#ending = parts.ending;
    this.#dispatcher = parts.dispatcher;
    this.#expiry = parts.expiry;
    this.#intake = parts.intake;
    this.#settings = parts.settings;
    this.#pollMs = parts.pollMs;
  }

  /**
   * Accepts a pull. It is durable when this returns, and ends in a terminal status whatever happens.
   *
   * Joins an upload of the same client, path and change policy that has not ended, unless `force` says otherwise;
   * its deadline is then the later of the two.
   *
   * @param request.idempotencyKey Unique to the operator: the same request again gives the same upload.
   * @throws BackhaulError `client_not_found`, `client_offline`, `invalid_request`, `idempotency_conflict`
   */
  trigger(request: PullRequest): Promise<Upload> {
    return this.#intake.accept(request);
  }

  get(uploadId: string): Promise<Upload> {
    return this.#ledger.get(uploadId);
  }

  list(filter: UploadFilter): Promise<Upload[]> {
    return this.#store.listUploads(filter);
  }

  /**
   * While the upload is `completing` its finding is awaited first: it may be a success.
   *
   * @throws BackhaulError `upload_not_found`; `upload_finished` when it has ended, or ended meanwhile. The signal's
   *   reason when it aborts during the wait.
   */
  async cancel(uploadId: string, by: string, options: { signal?: AbortSignal } = {}): Promise<Upload> {
    let upload = await this.get(uploadId);
    if (upload.status === 'completing') {
      // Not for its end: the finding may be that parts have to be sent again.
      upload = await this.#waitUntil(({ status }) => status !== 'completing', uploadId, options);
      options.signal?.throwIfAborted();
    }
    const audit = this.#audit('upload.cancel', upload, by);
    const cancelled = await this.#ending.end(uploadId, { type: 'cancel', by }, audit);
    if (cancelled !== undefined) return cancelled;
    const current = await this.get(uploadId);
    if (!isTerminal(current.status)) return this.cancel(uploadId, by, options);
    throw new BackhaulError('upload_finished', `Upload ${uploadId} has already ended as ${current.status}.`);
  }

  /**
   * A new attempt of an upload that failed, was cancelled or expired, once nothing of the last one is left in the
   * bucket.
   *
   * @throws BackhaulError `upload_not_found`, `upload_not_retryable`, `storage_unavailable`
   * @throws BucketError when it cannot be told what is left.
   */
  async retry(uploadId: string, by: string): Promise<Upload> {
    const queued = await this.#ledger.exclusively(uploadId, async () => {
      const upload = await this.get(uploadId);
      if (isTerminal(upload.status) && upload.status !== 'completed') {
        await this.#closeMultipart(upload);
        // Completed, but never verified: with it at the key no later attempt could complete.
        await this.#deleteObject(upload);
      }
      const expiresAt = this.#clock.now() + this.#settings.lifetimeMs;
      return this.#ledger.apply(
        await this.get(uploadId),
        { type: 'retry', expiresAt },
        { clearParts: true, audit: this.#audit('upload.retry', upload, by) },
      );
    });
    if (queued === undefined) {
      const { status } = await this.get(uploadId);
      throw new BackhaulError(
        'upload_not_retryable',
        `Upload ${uploadId} is ${status}; only failed, cancelled and expired uploads can be retried.`,
      );
    }
    this.#expiry.watch(queued.expiresAt);
    this.#dispatcher.kick(queued.clientId);
    return queued;
  }

  /**
   * @throws BackhaulError `upload_not_found`, `upload_not_finished`, `storage_unavailable`
   * @throws BucketError when something that it left in the bucket cannot be deleted.
   */
  async remove(uploadId: string, by: string, options: { withObject: boolean }): Promise<void> {
    await this.#ledger.exclusively(uploadId, async () => {
      const upload = await this.get(uploadId);
      if (!isTerminal(upload.status)) {
        throw new BackhaulError(
          'upload_not_finished',
          `Upload ${uploadId} is ${upload.status}; cancel it before removing it.`,
        );
      }
      await this.#closeMultipart(upload);
      if (wasHandedOver(upload)) await this.#abortOrphans(upload);
      if (options.withObject) await this.#deleteObject(upload);
      await this.#store.deleteUpload(uploadId, this.#audit('upload.delete', upload, by, { ...options }));
    });
  }

  /**
   * Where the finished object can be fetched: a presigned GET.
   *
   * @throws BackhaulError `upload_not_found`, `upload_not_completed`, `object_not_found`
   */
  async contentUrl(uploadId: string, by: string): Promise<string> {
    const upload = await this.get(uploadId);
    if (upload.status !== 'completed') {
      throw new BackhaulError(
        'upload_not_completed',
        `Upload ${uploadId} is ${upload.status}; it has no finished object.`,
      );
    }
    const object = await this.#bucket.head(upload.key);
    if (object === undefined || object.token !== upload.objectToken) {
      throw new BackhaulError(
        'object_not_found',
        `The object of upload ${uploadId} is no longer at its key.`,
      );
    }
    await this.#store.appendAudit(this.#audit('upload.content', upload, by));
    return this.#bucket.signGet(upload);
  }

  /**
   * Waits for a terminal status.
   *
   * @returns the upload as it is then, or as it is when the signal aborts.
   */
  waitUntilEnded(uploadId: string, options: { signal?: AbortSignal } = {}): Promise<Upload> {
    return this.#waitUntil(({ status }) => isTerminal(status), uploadId, options);
  }

  async #waitUntil(
    isOver: (upload: Upload) => boolean,
    uploadId: string,
    { signal }: { signal?: AbortSignal },
  ): Promise<Upload> {
    let wake = Promise.withResolvers<void>();
    const unsubscribe = this.#bus.subscribe((hint) => {
      if (hint.uploadId === uploadId) wake.resolve();
    });
    const onAbort = (): void => wake.resolve();
    signal?.addEventListener('abort', onAbort);
    // Hints may get lost; the row does not.
    const poll = setInterval(() => wake.resolve(), this.#pollMs);
    try {
      for (;;) {
        const current = wake;
        const upload = await this.get(uploadId);
        if (isOver(upload) || signal?.aborted === true) return upload;
        await current.promise;
        wake = Promise.withResolvers<void>();
      }
    } finally {
      clearInterval(poll);
      signal?.removeEventListener('abort', onAbort);
      unsubscribe();
    }
  }

  /**
   * Aborts what S3 still holds, before the row forgets it.
   *
   * @throws BackhaulError `storage_unavailable`
   */
  async #closeMultipart(upload: Upload): Promise<void> {
    await this.#ending.closeMultipart(upload);
    const { multipartOpen } = await this.get(upload.uploadId);
    if (multipartOpen) {
      throw new BackhaulError(
        'storage_unavailable',
        `The parts of upload ${upload.uploadId} cannot be removed right now; try again later.`,
      );
    }
  }

  /**
   * What an attempt left that its row does not know, and no sweep has found yet: without the row it would be nobody's
   * for ever.
   *
   * @throws BucketError `unavailable`
   */
  async #abortOrphans({ key }: Upload): Promise<void> {
    try {
      for await (const pending of this.#bucket.listMultipartUploads(key)) {
        if (pending.key === key) await this.#bucket.abortMultipartUpload(pending);
      }
    } catch (error) {
      // Where a policy does not allow it, a lifecycle rule of the bucket is what is left.
      if (!(error instanceof BucketError) || error.kind === 'unavailable') throw error;
    }
  }

  /** Only if it is this upload's own: by its version, or by its token. */
  async #deleteObject({ key, versionId, objectToken }: Upload): Promise<void> {
    if (versionId !== null) return this.#bucket.deleteObject(key, { versionId });
    if (objectToken === null) return;
    const object = await this.#bucket.head(key);
    if (object?.token !== objectToken) return;
    await this.#bucket.deleteObject(key, { versionId: object.versionId });
  }

  #audit(action: string, upload: Upload, actor: string, detail: Record<string, unknown> = {}) {
    const { clientId, uploadId } = upload;
    return { at: this.#clock.now(), actor, action, clientId, uploadId, detail };
  }
}

/** Before that nothing can have been created for it. */
function wasHandedOver({ attempt, startedAt }: Upload): boolean {
  return attempt > 1 || startedAt !== null;
}
