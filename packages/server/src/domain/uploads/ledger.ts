import { isDeepStrictEqual } from 'node:util';
import { BackhaulError } from '@backhaul/protocol';
import { KeyedLock } from '../concurrency.ts';
import type { Bus } from '../ports/bus.ts';
import type { Clock } from '../ports/clock.ts';
import type { Store, UploadSave } from '../ports/store.ts';
import { applyTransition, type Transition } from './state-machine.ts';
import type { Upload } from './upload.ts';

/** Called for every change, after it is durable. */
export type UploadObserver = (change: {
  readonly before: Upload;
  readonly after: Upload;
  readonly transition: Transition;
}) => void;

/** Data written in the same transaction as the upload. */
export type Extras = Omit<UploadSave, 'expectedVersion'>;

interface UploadLedgerDeps {
  readonly store: Store;
  readonly bus: Bus;
  readonly clock: Clock;
  readonly observe: UploadObserver;
}

/**
 * The only class that changes an upload's row. A transition is decided on the newest row, written under the guard of
 * its version, and made visible (returned, published) only when it is durable. Tasks of one upload run sequentially,
 * so that the consequences of a message are complete before the next one is handled.
 */
export class UploadLedger {
  readonly #deps: UploadLedgerDeps;
  /** Orders the tasks of one upload from all sources. Which of two writes succeeds depends only on the row's version. */
  readonly #lock = new KeyedLock();

  constructor(deps: UploadLedgerDeps) {
    this.#deps = deps;
  }

  /** @throws BackhaulError `upload_not_found` */
  async get(uploadId: string): Promise<Upload> {
    const upload = await this.#deps.store.getUpload(uploadId);
    if (upload === undefined) {
      throw new BackhaulError('upload_not_found', `There is no upload ${uploadId}.`);
    }
    return upload;
  }

  /** Runs `task` on the newest row, exclusively among the tasks of this upload; skips it if the upload was removed. */
  async onNewest<Result>(
    uploadId: string,
    task: (upload: Upload) => Promise<Result>,
  ): Promise<Result | undefined> {
    return this.exclusively(uploadId, async () => {
      const upload = await this.#deps.store.getUpload(uploadId);
      return upload && task(upload);
    });
  }

  /** Runs `task` exclusively among the tasks of this upload. */
  exclusively<Result>(uploadId: string, task: () => Promise<Result>): Promise<Result> {
    return this.#lock.run(uploadId, task);
  }

  /**
   * Applies a transition to `upload` as it was read. If only its deadline was moved since then, by a request that
   * joined it, the transition is decided again on the new row.
   *
   * @returns the new upload; undefined if the transition is not allowed in its status, or if another writer was
   *   faster. Nothing was changed then, and nothing that depends on the transition may happen.
   */
  async apply(upload: Upload, transition: Transition, extras: Extras = {}): Promise<Upload | undefined> {
    let before = upload;
    for (;;) {
      const next = applyTransition(before, transition, this.#deps.clock.now());
      if (next === undefined) return undefined;
      if (await this.#deps.store.saveUpload(next, { ...extras, expectedVersion: before.version })) {
        this.#deps.observe({ before, after: next, transition });
        this.#deps.bus.publish({ uploadId: next.uploadId, clientId: next.clientId, version: next.version });
        return next;
      }
      const current = await this.#deps.store.getUpload(upload.uploadId);
      if (current === undefined || !isOnlyExtended(before, current)) return undefined;
      before = current;
    }
  }
}

function isOnlyExtended(before: Upload, current: Upload): boolean {
  if (current.version <= before.version) return false;
  const { version, updatedAt, expiresAt } = before;
  return isDeepStrictEqual({ ...current, version, updatedAt, expiresAt }, before);
}
