import { BackhaulError, isTerminal, savedFileName } from '@backhaul/protocol';
import { assertNotBlocked } from '../agents/client.ts';
import { type Bucket, BucketError, type ObjectFacts } from '../ports/bucket.ts';
import type { AuditEvent, RequestOrigin, UploadFilter } from '../ports/store.ts';
import { withStoreDeadline } from './bucket-outage.ts';
import type { Completion } from './complete.ts';
import { type CreateDeps, createUpload, type TriggerRequest } from './create.ts';
import type { UploadEnding } from './end.ts';
import type { UploadLedger } from './ledger.ts';
import type { Upload } from './upload.ts';
import { findRecordedObject, missingObjectMessage } from './verify.ts';

/** How long a cancel waits for the outcome of a completing upload, or for a task that calls the store. */
const CANCEL_WAIT_MS = 5000;

interface UploadServiceDeps extends CreateDeps {
  readonly bucket: Bucket;
  readonly ledger: UploadLedger;
  readonly ending: UploadEnding;
  readonly completion: Completion;
  /** Polling interval of a wait, in case hints get lost. */
  readonly pollMs: number;
}

/** Operators' actions on uploads. Every method takes the operator's name, for the audit. */
export class UploadService {
  readonly #deps: UploadServiceDeps;

  constructor(deps: UploadServiceDeps) {
    this.#deps = deps;
  }

  /**
   * Accepts a trigger request. The upload is durable when this returns, and always ends in a terminal status.
   *
   * Joins an unfinished upload of the same client, path, change policy and limits, unless `force` is set; its
   * deadline is then the later of the two.
   *
   * @param request.idempotencyKey Unique to the operator: repeating the request with it returns the same upload.
   * @throws BackhaulError `client_not_found`, `client_offline`, `invalid_request`, `idempotency_conflict`,
   *   `too_many_requests`
   */
  trigger(request: TriggerRequest): Promise<Upload> {
    return createUpload(this.#deps, request);
  }

  get(uploadId: string): Promise<Upload> {
    return this.#deps.ledger.get(uploadId);
  }

  list(filter: UploadFilter): Promise<Upload[]> {
    return this.#deps.store.listUploads(filter);
  }

  /**
   * While the upload is `completing`, its outcome is awaited first, up to 5 s: it may succeed. The pending cancel is
   * stored, so it survives a restart of the server.
   *
   * @returns the cancelled upload; or a `completing` one if the object store has not responded: it ends as cancelled
   *   once the store says that it is not complete.
   * @throws BackhaulError `upload_not_found`; `upload_finished` if it has already ended, or ends in another status
   *   meanwhile.
   */
  async cancel(
    uploadId: string,
    by: string,
    options: { signal?: AbortSignal } & RequestOrigin = {},
  ): Promise<Upload> {
    for (;;) {
      const upload = await this.get(uploadId);
      const audit = this.#audit('upload.cancel', upload, { by, ...options });
      if (isTerminal(upload.status)) {
        throw new BackhaulError(
          'upload_finished',
          `Upload ${uploadId} has already ended as ${upload.status}.`,
        );
      }
      if (upload.status !== 'completing') {
        const cancelled = await this.#cancelUnsent(uploadId, by, audit);
        if (cancelled !== undefined) return cancelled;
        continue;
      }
      await this.#deps.ledger.onNewest(uploadId, (newest) =>
        this.#deps.ledger.apply(newest, { type: 'cancel_request', by }, { audit }),
      );
      const found = await this.#awaitFinding(uploadId, options);
      if (found.status === 'cancelled' || found.status === 'completing') return found;
    }
  }

  /**
   * A task that holds the upload's lock may be waiting for the store; the row's guard is sufficient without the lock.
   */
  async #cancelUnsent(uploadId: string, by: string, audit: AuditEvent): Promise<Upload | undefined> {
    const { promise: timeIsUp, resolve } = Promise.withResolvers<'time is up'>();
    const timer = setTimeout(() => resolve('time is up'), CANCEL_WAIT_MS);
    try {
      const cancelling = this.#deps.ending.end(uploadId, { type: 'cancel', by }, audit);
      const cancelled = await Promise.race([cancelling, timeIsUp]);
      if (cancelled !== 'time is up') return cancelled;
      // When its turn comes, it finds an ended upload.
      cancelling.catch(() => undefined);
      return await this.#deps.ending.endLocked(await this.get(uploadId), { type: 'cancel', by }, audit);
    } finally {
      clearTimeout(timer);
    }
  }

  async #awaitFinding(uploadId: string, { signal }: { signal?: AbortSignal }): Promise<Upload> {
    this.#deps.completion.wake(uploadId);
    const deadline = new AbortController();
    const timer = setTimeout(() => deadline.abort(), CANCEL_WAIT_MS);
    try {
      const signals = signal === undefined ? [deadline.signal] : [deadline.signal, signal];
      const found = await this.#waitUntil(({ status }) => status !== 'completing', uploadId, {
        signal: AbortSignal.any(signals),
      });
      if (found.status === 'completing') this.#deps.completion.limitWait(uploadId);
      return found;
    } finally {
      clearTimeout(timer);
    }
  }

  /**
   * Starts a new attempt of an upload that failed, was cancelled or expired, once nothing of the last one is left in
   * the bucket.
   *
   * @throws BackhaulError `upload_not_found`, `upload_not_retryable`, `too_many_requests`; `storage_unavailable`
   *   after 10 s at most
   * @throws BucketError when it is unknown what is left.
   */
  async retry(uploadId: string, by: string, origin: RequestOrigin = {}): Promise<Upload> {
    const queued = await this.#deps.ledger.exclusively(uploadId, async () => {
      const upload = await this.get(uploadId);
      const apply = (newest: Upload): Promise<Upload | undefined> =>
        this.#deps.ledger.apply(
          newest,
          { type: 'retry', expiresAt: this.#deps.clock.now() + this.#deps.settings.lifetimeMs },
          { clearParts: true, audit: this.#audit('upload.retry', upload, { by, ...origin }) },
        );
      if (!isTerminal(upload.status) || upload.status === 'completed') return apply(upload);
      assertNotBlocked(upload.clientId, (await this.#deps.store.getBlock(upload.clientId)) ?? null);
      // First, because deleting may take long, and the quota reservation should be short.
      const closed = await withStoreDeadline(async (signal) => {
        const newest = await this.#closeMultipart(upload, signal);
        // An object that completed but was never verified: with it at the key no later attempt could complete.
        await this.#deleteObject(upload, signal);
        return newest;
      });
      // It counts towards the quota of the original requester, also when another operator retries it.
      const reservation = await this.#deps.quota.reserve(upload);
      let retried: Upload | undefined;
      try {
        reservation.assertGranted();
        retried = await apply(closed);
        return retried;
      } finally {
        reservation.finish(retried !== undefined);
      }
    });
    if (queued === undefined) {
      const { status } = await this.get(uploadId);
      throw new BackhaulError(
        'upload_not_retryable',
        `Upload ${uploadId} is ${status}; only failed, cancelled and expired uploads can be retried.`,
      );
    }
    this.#deps.expiry.watch(queued.expiresAt);
    this.#deps.dispatcher.schedule(queued.clientId);
    return queued;
  }

  /**
   * @throws BackhaulError `upload_not_found`, `upload_not_finished`; `storage_unavailable` after 10 s at most, with
   *   the record preserved; `storage_refused` when an object at its key carries no token, so that its origin is
   *   unknown.
   * @throws BucketError when something it left in the bucket cannot be deleted.
   */
  async remove(
    uploadId: string,
    by: string,
    { withObject, from }: { withObject: boolean } & RequestOrigin,
  ): Promise<void> {
    await this.#deps.ledger.exclusively(uploadId, async () => {
      const upload = await this.get(uploadId);
      if (!isTerminal(upload.status)) {
        throw new BackhaulError(
          'upload_not_finished',
          upload.cancelRequestedBy === null
            ? `Upload ${uploadId} is ${upload.status}; cancel it before removing it.`
            : `Upload ${uploadId} will be cancelled as soon as the object store responds; remove it once it has ended.`,
        );
      }
      await withStoreDeadline(async (signal) => {
        await this.#closeMultipart(upload, signal);
        if (wasHandedOver(upload)) await this.#abortOrphans(upload, signal);
        if (!withObject) return;
        const left = await this.#deleteObject(upload, signal, async () => {
          // Before the deletion, which cannot be undone: no file is deleted without an event.
          await this.#deps.store.appendAudit(this.#audit('upload.delete_object', upload, { by, from }));
        });
        if (left?.token === null) {
          throw new BackhaulError(
            'storage_refused',
            `The object at ${JSON.stringify(upload.key)} does not carry this upload's token, so it was not removed: it was written by another program, or the store has lost its metadata. Delete it in the bucket, or remove the upload without ?object=true.`,
          );
        }
      });
      const audit = this.#audit('upload.delete', upload, { by, from, detail: { withObject } });
      await this.#deps.store.deleteUpload(uploadId, audit);
    });
  }

  /**
   * URL of the finished object: a presigned GET.
   *
   * @throws BackhaulError `upload_not_found`, `upload_not_completed`, `object_not_found`; `storage_unavailable` after
   *   10 s at most
   */
  async contentUrl(uploadId: string, by: string, origin: RequestOrigin = {}): Promise<string> {
    const upload = await this.get(uploadId);
    if (upload.status !== 'completed') {
      throw new BackhaulError(
        'upload_not_completed',
        `Upload ${uploadId} is ${upload.status}; it has no finished object.`,
      );
    }
    const found = await withStoreDeadline((signal) =>
      findRecordedObject(this.#deps.bucket, upload, { signal }),
    );
    if (found.own === undefined)
      throw new BackhaulError('object_not_found', missingObjectMessage(upload, found));
    const { keyState } = found;
    const versionId = found.own.versionId ?? upload.versionId;
    const fileName = savedFileName(upload.filePath);
    const url = await this.#deps.bucket.signGet({ key: upload.key, versionId, fileName });
    // Before the URL is returned: it cannot be revoked.
    const audit = this.#audit('upload.content', upload, { by, ...origin, detail: { keyState } });
    await this.#deps.store.appendAudit(audit);
    return url;
  }

  /**
   * Waits for a terminal status.
   *
   * @returns the upload at its end, or its current state when the signal aborts.
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
    const unsubscribe = this.#deps.bus.subscribe((hint) => {
      if (hint.uploadId === uploadId) wake.resolve();
    });
    const onAbort = (): void => wake.resolve();
    signal?.addEventListener('abort', onAbort);
    // Hints may get lost; the row is always right.
    const poll = setInterval(() => wake.resolve(), this.#deps.pollMs);
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
   * Aborts the multipart upload before the row forgets it.
   *
   * @returns the upload, with the next version if that has changed its row.
   * @throws BackhaulError `storage_unavailable`
   */
  async #closeMultipart(upload: Upload, signal: AbortSignal): Promise<Upload> {
    if (!upload.multipartOpen) return upload;
    await this.#deps.ending.closeMultipart(upload, { signal });
    const closed = await this.get(upload.uploadId);
    if (closed.multipartOpen) {
      throw new BackhaulError(
        'storage_unavailable',
        `The parts of upload ${upload.uploadId} cannot be removed right now; try again later.`,
      );
    }
    return closed;
  }

  /**
   * Aborts leftovers of an attempt that its row does not know and no sweep has found yet: without the row they would
   * stay forever.
   *
   * @throws BucketError `unavailable`
   */
  async #abortOrphans({ key }: Upload, signal: AbortSignal): Promise<void> {
    try {
      for await (const pending of this.#deps.bucket.listMultipartUploads(key, { signal })) {
        if (pending.key === key) await this.#deps.bucket.abortMultipartUpload(pending, { signal });
      }
    } catch (error) {
      // If a policy forbids listing, only a lifecycle rule of the bucket can remove them.
      if (!(error instanceof BucketError) || error.kind === 'unavailable') throw error;
    }
  }

  /**
   * Deletes the object only if its token is this upload's, including a version that the key no longer shows.
   *
   * @param announce Called before an object is deleted.
   * @returns the object at the key that was left there, if the record names no version.
   */
  async #deleteObject(
    upload: Upload,
    signal: AbortSignal,
    announce: () => Promise<void> = async () => {},
  ): Promise<ObjectFacts | undefined> {
    if (upload.objectToken === null) return undefined;
    const { own, current } = await findRecordedObject(this.#deps.bucket, upload, { signal });
    if (own === undefined) return upload.versionId === null ? current : undefined;
    const versionId = own.versionId ?? upload.versionId;
    await announce();
    await this.#deps.bucket.deleteObject(upload.key, { versionId, signal });
    return undefined;
  }

  #audit(
    action: string,
    { clientId, uploadId }: Upload,
    { by, from, detail = {} }: { by: string; detail?: AuditEvent['detail'] } & RequestOrigin,
  ): AuditEvent {
    return { at: this.#deps.clock.now(), actor: by, address: from, action, clientId, uploadId, detail };
  }
}

/** Before dispatch nothing can have been created for it. */
function wasHandedOver({ attempt, startedAt }: Upload): boolean {
  return attempt > 1 || startedAt !== null;
}
