import { BackhaulError, isTerminal, savedFileName } from '@backhaul/protocol';
import { type Bucket, BucketError, type ObjectFacts } from '../ports/bucket.ts';
import { assertNotBlocked } from '../clients/client.ts';
import type { Bus } from '../ports/bus.ts';
import type { Clock } from '../ports/clock.ts';
import type { AuditEvent, Store, UploadFilter } from '../ports/store.ts';
import type { UploadSettings } from '../upload-settings.ts';
import type { Completion } from './completion.ts';
import type { Dispatcher } from './dispatcher.ts';
import type { Expiry } from './expiry.ts';
import type { PullIntake, PullRequest } from './pull-intake.ts';
import { findRecordedObject, goneMessage } from './recorded-object.ts';
import { answeredSoon } from './store-deadline.ts';
import type { UnfinishedQuota } from './unfinished-quota.ts';
import type { UploadEnding } from './upload-ending.ts';
import type { UploadLedger } from './upload-ledger.ts';
import type { Upload } from './upload.ts';

/** How long a cancel waits: for the finding of an upload that is completing, or for a task that asks the store. */
const CANCEL_WAIT_MS = 5000;

/** What operators can do with uploads. Every verb names the operator, for the audit. */
export class UploadService {
  readonly #store: Store;
  readonly #bucket: Bucket;
  readonly #bus: Bus;
  readonly #clock: Clock;
  readonly #ledger: UploadLedger;
  readonly #ending: UploadEnding;
  readonly #completion: Completion;
  readonly #dispatcher: Dispatcher;
  readonly #expiry: Expiry;
  readonly #intake: PullIntake;
  readonly #quota: UnfinishedQuota;
  readonly #settings: UploadSettings;
  readonly #pollMs: number;

  constructor(parts: {
    store: Store;
    bucket: Bucket;
    bus: Bus;
    clock: Clock;
    ledger: UploadLedger;
    ending: UploadEnding;
    completion: Completion;
    dispatcher: Dispatcher;
    expiry: Expiry;
    intake: PullIntake;
    quota: UnfinishedQuota;
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
    this.#completion = parts.completion;
    this.#dispatcher = parts.dispatcher;
    this.#expiry = parts.expiry;
    this.#intake = parts.intake;
    this.#quota = parts.quota;
    this.#settings = parts.settings;
    this.#pollMs = parts.pollMs;
  }

  /**
   * Accepts a pull. It is durable when this returns, and ends in a terminal status whatever happens.
   *
   * Joins an upload of the same client, path, change policy and limits that has not ended, unless `force` says
   * otherwise; its deadline is then the later of the two.
   *
   * @param request.idempotencyKey Unique to the operator: the same request again gives the same upload.
   * @throws BackhaulError `client_not_found`, `client_offline`, `invalid_request`, `idempotency_conflict`,
   *   `too_many_requests`
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
   * While the upload is `completing` its finding is awaited first, up to 5 s: it may be a success. The cancel is
   * remembered meanwhile, also by a server that is restarted.
   *
   * @returns the cancelled upload; one that is `completing` still if the object store has not answered: it ends as
   *   cancelled once the store says that it is not complete.
   * @throws BackhaulError `upload_not_found`; `upload_finished` when it has ended, or ended otherwise meanwhile.
   */
  async cancel(uploadId: string, by: string, options: { signal?: AbortSignal } = {}): Promise<Upload> {
    for (;;) {
      const upload = await this.get(uploadId);
      const audit = this.#audit('upload.cancel', upload, by);
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
      await this.#ledger.onNewest(uploadId, (newest) =>
        this.#ledger.apply(newest, { type: 'cancel_request', by }, { audit }),
      );
      const found = await this.#awaitFinding(uploadId, options);
      if (found.status === 'cancelled' || found.status === 'completing') return found;
    }
  }

  /** A task that holds the upload's lock may wait for the store; the row's guard is enough without it. */
  async #cancelUnsent(uploadId: string, by: string, audit: AuditEvent): Promise<Upload | undefined> {
    const { promise: timeIsUp, resolve } = Promise.withResolvers<'time is up'>();
    const timer = setTimeout(() => resolve('time is up'), CANCEL_WAIT_MS);
    try {
      const cancelling = this.#ending.end(uploadId, { type: 'cancel', by }, audit);
      const cancelled = await Promise.race([cancelling, timeIsUp]);
      if (cancelled !== 'time is up') return cancelled;
      // In its turn it finds an upload that has ended.
      cancelling.catch(() => undefined);
      return await this.#ending.endHeld(await this.get(uploadId), { type: 'cancel', by }, audit);
    } finally {
      clearTimeout(timer);
    }
  }

  async #awaitFinding(uploadId: string, { signal }: { signal?: AbortSignal }): Promise<Upload> {
    this.#completion.wake(uploadId);
    const deadline = new AbortController();
    const timer = setTimeout(() => deadline.abort(), CANCEL_WAIT_MS);
    try {
      const signals = signal === undefined ? [deadline.signal] : [deadline.signal, signal];
      const found = await this.#waitUntil(({ status }) => status !== 'completing', uploadId, {
        signal: AbortSignal.any(signals),
      });
      if (found.status === 'completing') this.#completion.cutShort(uploadId);
      return found;
    } finally {
      clearTimeout(timer);
    }
  }

  /**
   * A new attempt of an upload that failed, was cancelled or expired, once nothing of the last one is left in the
   * bucket.
   *
   * @throws BackhaulError `upload_not_found`, `upload_not_retryable`, `too_many_requests`; `storage_unavailable` after
   *   10 s at most
   * @throws BucketError when it cannot be told what is left.
   */
  async retry(uploadId: string, by: string): Promise<Upload> {
    const queued = await this.#ledger.exclusively(uploadId, async () => {
      const upload = await this.get(uploadId);
      const apply = async (): Promise<Upload | undefined> =>
        this.#ledger.apply(
          await this.get(uploadId),
          { type: 'retry', expiresAt: this.#clock.now() + this.#settings.lifetimeMs },
          { clearParts: true, audit: this.#audit('upload.retry', upload, by) },
        );
      if (!isTerminal(upload.status) || upload.status === 'completed') return apply();
      assertNotBlocked(upload.clientId, (await this.#store.getBlock(upload.clientId)) ?? null);
      // First, because deleting may take as long as the store likes, while new uploads are to be counted.
      await answeredSoon(async (signal) => {
        await this.#closeMultipart(upload, signal);
        // Completed, but never verified: with it at the key no later attempt could complete.
        await this.#deleteObject(upload, signal);
      });
      // It counts for whoever asked for it first, whoever retries it.
      const place = await this.#quota.take(upload);
      let retried: Upload | undefined;
      try {
        place.assertGranted();
        retried = await apply();
        return retried;
      } finally {
        place.settle(retried !== undefined);
      }
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
   * @throws BackhaulError `upload_not_found`, `upload_not_finished`; `storage_unavailable` after 10 s at most, with the
   *   record still there; `storage_refused` when an object at its key carries no token, so that nobody can tell whose it
   *   is.
   * @throws BucketError when something that it left in the bucket cannot be deleted.
   */
  async remove(uploadId: string, by: string, options: { withObject: boolean }): Promise<void> {
    await this.#ledger.exclusively(uploadId, async () => {
      const upload = await this.get(uploadId);
      if (!isTerminal(upload.status)) {
        throw new BackhaulError(
          'upload_not_finished',
          upload.cancelRequestedBy === null
            ? `Upload ${uploadId} is ${upload.status}; cancel it before removing it.`
            : `Upload ${uploadId} is to be cancelled as soon as the object store answers; remove it once it has ended.`,
        );
      }
      await answeredSoon(async (signal) => {
        await this.#closeMultipart(upload, signal);
        if (wasHandedOver(upload)) await this.#abortOrphans(upload, signal);
        if (!options.withObject) return;
        const left = await this.#deleteObject(upload, signal);
        if (left?.token === null) {
          throw new BackhaulError(
            'storage_refused',
            `At ${JSON.stringify(upload.key)} there is an object without this upload's token, so it was not removed: somebody wrote it, or the store has lost its metadata. Delete it in the bucket, or remove the upload without ?object=true.`,
          );
        }
      });
      await this.#store.deleteUpload(uploadId, this.#audit('upload.delete', upload, by, { ...options }));
    });
  }

  /**
   * Where the finished object can be fetched: a presigned GET.
   *
   * @throws BackhaulError `upload_not_found`, `upload_not_completed`, `object_not_found`; `storage_unavailable` after
   *   10 s at most
   */
  async contentUrl(uploadId: string, by: string): Promise<string> {
    const upload = await this.get(uploadId);
    if (upload.status !== 'completed') {
      throw new BackhaulError(
        'upload_not_completed',
        `Upload ${uploadId} is ${upload.status}; it has no finished object.`,
      );
    }
    const found = await answeredSoon((signal) => findRecordedObject(this.#bucket, upload, { signal }));
    if (found.own === undefined) throw new BackhaulError('object_not_found', goneMessage(upload, found));
    const { keyState } = found;
    await this.#store.appendAudit(this.#audit('upload.content', upload, by, { keyState }));
    const versionId = found.own.versionId ?? upload.versionId;
    return this.#bucket.signGet({ key: upload.key, versionId, fileName: savedFileName(upload.filePath) });
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
  async #closeMultipart(upload: Upload, signal: AbortSignal): Promise<void> {
    await this.#ending.closeMultipart(upload, { signal });
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
  async #abortOrphans({ key }: Upload, signal: AbortSignal): Promise<void> {
    try {
      for await (const pending of this.#bucket.listMultipartUploads(key, { signal })) {
        if (pending.key === key) await this.#bucket.abortMultipartUpload(pending, { signal });
      }
    } catch (error) {
      // Where a policy does not allow it, a lifecycle rule of the bucket is what is left.
      if (!(error instanceof BucketError) || error.kind === 'unavailable') throw error;
    }
  }

  /**
   * Only if it is this upload's own, by its token; a version of it that the key no longer shows too.
   *
   * @returns what is at the key and was left there, where the record names no version.
   */
  async #deleteObject(upload: Upload, signal: AbortSignal): Promise<ObjectFacts | undefined> {
    if (upload.objectToken === null) return undefined;
    const { own, current } = await findRecordedObject(this.#bucket, upload, { signal });
    if (own === undefined) return upload.versionId === null ? current : undefined;
    const versionId = own.versionId ?? upload.versionId;
    await this.#bucket.deleteObject(upload.key, { versionId, signal });
    return undefined;
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
