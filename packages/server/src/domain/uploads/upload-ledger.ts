import { isDeepStrictEqual } from 'node:util';
import { BackhaulError } from '@backhaul/protocol';
import { KeyedLock } from '../keyed-lock.ts';
import type { Bus } from '../ports/bus.ts';
import type { Clock } from '../ports/clock.ts';
import type { Store, UploadSave } from '../ports/store.ts';
import { type Transition, applyTransition } from './transitions.ts';
import type { Upload } from './upload.ts';

/** Told of every change, after it is durable. */
export type UploadObserver = (change: {
  readonly before: Upload;
  readonly after: Upload;
  readonly transition: Transition;
}) => void;

/** What else is written with a transition, or not at all. */
export type Extras = Omit<UploadSave, 'expectedVersion'>;

/**
 * The only place where an upload's row changes. A transition is decided on the newest row, written under the
 * guard of its version, and made visible (returned, published) only when it is durable. Tasks of one upload run
 * after each other, so that what follows from a message is finished before the next one is looked at.
 */
export class UploadLedger {
  readonly #store: Store;
  readonly #bus: Bus;
  readonly #clock: Clock;
  readonly #observe: UploadObserver;
  readonly #lock = new KeyedLock();

  constructor(parts: { store: Store; bus: Bus; clock: Clock; observe: UploadObserver }) {
    this.#store = parts.store;
    this.#bus = parts.bus;
    this.#clock = parts.clock;
    this.#observe = parts.observe;
  }

  /** @throws BackhaulError `upload_not_found` */
  async get(uploadId: string): Promise<Upload> {
    const upload = await this.#store.getUpload(uploadId);
    if (upload === undefined) {
      throw new BackhaulError('upload_not_found', `There is no upload ${uploadId}.`);
    }
    return upload;
  }

  /** Runs `task` on the newest row, alone among the tasks of this upload; not at all if it was removed meanwhile. */
  async onNewest<Result>(
    uploadId: string,
    task: (upload: Upload) => Promise<Result>,
  ): Promise<Result | undefined> {
    return this.exclusively(uploadId, async () => {
      const upload = await this.#store.getUpload(uploadId);
      return upload && task(upload);
    });
  }

  /** Runs `task` alone among the tasks of this upload. */
  exclusively<Result>(uploadId: string, task: () => Promise<Result>): Promise<Result> {
    return this.#lock.run(uploadId, task);
  }

  /**
   * Applies a transition to `upload` as it was read. If since then only its deadline was moved, by a request that
   * joined it, the transition is decided once more on that.
   *
   * @returns the new upload; undefined if the transition is not allowed from its status, or if somebody else
   *   was faster. Then nothing was changed, and whatever hangs on the transition must not happen.
   */
  async apply(upload: Upload, transition: Transition, extras: Extras = {}): Promise<Upload | undefined> {
    let before = upload;
    for (;;) {
      const next = applyTransition(before, transition, this.#clock.now());
      if (next === undefined) return undefined;
      if (await this.#store.saveUpload(next, { ...extras, expectedVersion: before.version })) {
        this.#observe({ before, after: next, transition });
        this.#bus.publish({ uploadId: next.uploadId, clientId: next.clientId, version: next.version });
        return next;
      }
      const current = await this.#store.getUpload(upload.uploadId);
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
