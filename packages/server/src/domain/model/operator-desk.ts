import { BackhaulError, type ChangePolicy, type ErrorCode } from '@backhaul/protocol';
import { BucketError } from '../ports/bucket.ts';
import type { Domain } from '../create-domain.ts';
import type { Upload } from '../uploads/upload.ts';
import type { World } from './world.ts';

/** What an operator may be told; anything else is a fault of the server's. */
const answers: ReadonlySet<ErrorCode> = new Set([
  'client_not_found',
  'upload_not_found',
  'upload_finished',
  'upload_not_finished',
  'upload_not_retryable',
  'storage_unavailable',
  // Somebody else's object at the key, without a token.
  'storage_refused',
]);

const MAX_UPLOADS = 6;

interface TriggerOptions {
  readonly clientId: string;
  readonly filePath: string;
  readonly onChange: ChangePolicy;
  readonly expiresInMs: number | undefined;
  readonly force: boolean;
}

/** Operators, who remember what they were promised. */
export class OperatorDesk {
  /** Ids of uploads whose trigger was answered. */
  readonly accepted = new Set<string>();
  readonly removed = new Set<string>();
  /** Questions that have had no answer. */
  readonly waiting = new Set<object>();
  readonly #world: World;

  constructor(world: World) {
    this.#world = world;
  }

  /** Uploads as they are on disk, oldest first. */
  get uploads(): Upload[] {
    return [...this.#world.witness.rows.values()];
  }

  /** More than these would only take time. */
  get hasRoom(): boolean {
    return this.uploads.length < MAX_UPLOADS;
  }

  /** Of an upload whose row is gone because an operator wanted it so, even if nobody could tell them. */
  isOfRemoved(key: string): boolean {
    const { removing, rows } = this.#world.witness;
    return [...removing].some((uploadId) => key.includes(uploadId) && !rows.has(uploadId));
  }

  trigger({ expiresInMs, ...request }: TriggerOptions): void {
    this.#ask(async ({ uploads }) => {
      const lifetime = expiresInMs === undefined ? {} : { expiresInMs };
      const { uploadId } = await uploads.trigger({ ...request, ...lifetime, requestedBy: 'operator-1' });
      this.accepted.add(uploadId);
    });
  }

  cancel({ uploadId, status }: Upload): void {
    if (status === 'completing') this.#world.tally.count('cancel waited for a completion');
    this.#ask(async ({ uploads }) => {
      await uploads.cancel(uploadId, 'operator-1');
    });
  }

  retry({ uploadId }: Upload): void {
    this.#ask(async ({ uploads }) => {
      await uploads.retry(uploadId, 'operator-1');
    });
  }

  remove({ uploadId }: Upload, options: { withObject: boolean }): void {
    const { witness, tally } = this.#world;
    witness.removing.add(uploadId);
    this.#ask(async ({ uploads }) => {
      try {
        await uploads.remove(uploadId, 'operator-1', options);
      } catch (error) {
        // The store may have deleted the object, and only its answer was lost; or another removal came first.
        const isRefused = error instanceof BackhaulError && error.code !== 'upload_not_found';
        if (isRefused) witness.removing.delete(uploadId);
        throw error;
      }
      this.removed.add(uploadId);
      tally.count('removed');
    });
  }

  /** The server is gone, and with it whoever would have answered. */
  abandon(): void {
    this.waiting.clear();
  }

  #ask(question: (domain: Domain) => Promise<void>): void {
    const { server, witness } = this.#world;
    if (server === undefined) return;
    this.waiting.add(question);
    void question(server.domain)
      .catch((error: unknown) => {
        const isExpected =
          error instanceof BackhaulError ? answers.has(error.code) : error instanceof BucketError;
        if (!isExpected) witness.object(`an operator was told: ${String(error)}`);
      })
      .finally(() => this.waiting.delete(question));
  }
}
