import { BackhaulError, type ChangePolicy, type ErrorCode } from '@backhaul/protocol';
import { BucketError } from '../../packages/server/src/domain/ports/bucket.ts';
import type { Domain } from '../../packages/server/src/domain/create-domain.ts';
import type { Upload } from '../../packages/server/src/domain/uploads/upload.ts';
import type { Simulation } from './simulation.ts';

/** Errors that an operator may get; any other is a fault of the server. */
const expectedErrors: ReadonlySet<ErrorCode> = new Set([
  'client_not_found',
  'upload_not_found',
  'upload_finished',
  'upload_not_finished',
  'upload_not_retryable',
  'storage_unavailable',
  // A foreign object at the key, without a token.
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

/** Operators, who remember what the server promised. */
export class OperatorClient {
  /** Ids of uploads whose trigger succeeded. */
  readonly accepted = new Set<string>();
  readonly removed = new Set<string>();
  /** Requests without a response. */
  readonly waiting = new Set<object>();
  readonly #simulation: Simulation;

  constructor(simulation: Simulation) {
    this.#simulation = simulation;
  }

  /** Uploads as they are on disk, oldest first. */
  get uploads(): Upload[] {
    return [...this.#simulation.checker.rows.values()];
  }

  /** More uploads would only take time. */
  get hasRoom(): boolean {
    return this.uploads.length < MAX_UPLOADS;
  }

  /** Whether the key belongs to an upload that an operator removed, even if the response was lost. */
  isOfRemoved(key: string): boolean {
    const { removing, rows } = this.#simulation.checker;
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
    if (status === 'completing') this.#simulation.coverage.count('cancel waited for a completion');
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
    const { checker, coverage } = this.#simulation;
    checker.removing.add(uploadId);
    this.#ask(async ({ uploads }) => {
      try {
        await uploads.remove(uploadId, 'operator-1', options);
      } catch (error) {
        // The store may have deleted the object and lost only the response; or another removal came first.
        const isRefused = error instanceof BackhaulError && error.code !== 'upload_not_found';
        if (isRefused) checker.removing.delete(uploadId);
        throw error;
      }
      this.removed.add(uploadId);
      coverage.count('removed');
    });
  }

  /** The server has crashed; its pending requests never get a response. */
  abandon(): void {
    this.waiting.clear();
  }

  #ask(question: (domain: Domain) => Promise<void>): void {
    const { server, checker } = this.#simulation;
    if (server === undefined) return;
    this.waiting.add(question);
    void question(server.domain)
      .catch((error: unknown) => {
        const isExpected =
          error instanceof BackhaulError ? expectedErrors.has(error.code) : error instanceof BucketError;
        if (!isExpected) checker.report(`an operator got an unexpected error: ${String(error)}`);
      })
      .finally(() => this.waiting.delete(question));
  }
}
