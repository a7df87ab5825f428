import { BackhaulError } from '@backhaul/protocol';
import { KeyedLock } from '../concurrency.ts';
import type { Clock } from '../ports/clock.ts';
import type { Store } from '../ports/store.ts';

export type UnfinishedRefusal = 'unfinished_per_token' | 'unfinished_per_client';

export interface UnfinishedLimits {
  /** 0 is no limit. */
  readonly perToken: number;
  /** 0 is no limit. */
  readonly perClient: number;
  /** Called for each refused upload. */
  readonly onRefused: (limit: UnfinishedRefusal) => void;
}

/** A reservation for one more upload of a client and a subject, or a refusal. */
export interface Reservation {
  readonly isGranted: boolean;
  /** @throws BackhaulError `too_many_requests` if it is not granted. */
  assertGranted(): void;
  /** Must be called once it is known whether the upload was created. */
  finish(isUsed: boolean): void;
}

interface Count {
  count: number;
  /** By `clock.elapsed()`. */
  readonly countedAt: number;
}

/** Minimum interval between two counts for a subject or client at its limit. */
const RECOUNT_MS = 250;
/** Subjects and clients whose count is remembered. */
const MAX_REMEMBERED = 10_000;

interface UnfinishedQuotaDeps {
  readonly store: Pick<Store, 'countUnfinished'>;
  readonly clock: Clock;
  readonly limits: UnfinishedLimits;
}

/**
 * Limits the unfinished uploads per token subject, which may come from a faulty program, and per client. Counting
 * them takes time when there are many, so the database is queried at the first upload of each and whenever the limit
 * seems to be reached; in between, new uploads are added and ended ones are not subtracted.
 */
export class UnfinishedQuota {
  readonly #deps: UnfinishedQuotaDeps;
  /** By client or subject, of which one has many uploads: concurrent requests share one count. */
  readonly #inOrder = new KeyedLock();
  readonly #counts = new Map<string, Count>();
  /** Reservations that may or may not be in the database yet; a count waits for these. */
  readonly #pending = new Map<string, Set<Promise<void>>>();

  constructor(deps: UnfinishedQuotaDeps) {
    this.#deps = deps;
  }

  /** @param who The upload's client, and the subject that first requested it. */
  async reserve({ clientId, requestedBy }: { clientId: string; requestedBy: string }): Promise<Reservation> {
    const { perClient, perToken } = this.#deps.limits;
    const finishClient = await this.#reserveOne(`client ${clientId}`, perClient, { clientId });
    if (finishClient === undefined) {
      return this.#refused(
        'unfinished_per_client',
        `Client ${clientId} has ${perClient} unfinished uploads. Wait for them, cancel some, or raise the server's setting MAX_UNFINISHED_PER_CLIENT.`,
      );
    }
    let finishToken: Reservation['finish'] | undefined;
    try {
      finishToken = await this.#reserveOne(`token ${requestedBy}`, perToken, { requestedBy });
    } finally {
      if (finishToken === undefined) finishClient(false);
    }
    if (finishToken === undefined) {
      return this.#refused(
        'unfinished_per_token',
        `Tokens of the subject "${requestedBy}" have requested ${perToken} unfinished uploads. Wait for them, cancel some, or raise the server's setting MAX_UNFINISHED_PER_TOKEN.`,
      );
    }
    const finishers = [finishClient, finishToken];
    return {
      isGranted: true,
      assertGranted: () => {},
      finish: (isUsed) => {
        for (const finish of finishers.splice(0)) finish(isUsed);
      },
    };
  }

  #refused(limit: UnfinishedRefusal, message: string): Reservation {
    return {
      isGranted: false,
      assertGranted: () => {
        this.#deps.limits.onRefused(limit);
        throw new BackhaulError('too_many_requests', message);
      },
      finish: () => {},
    };
  }

  /** @returns undefined at the limit. */
  async #reserveOne(
    key: string,
    limit: number,
    filter: Parameters<Store['countUnfinished']>[0],
  ): Promise<Reservation['finish'] | undefined> {
    if (limit === 0) return () => {};
    return await this.#inOrder.run(key, async () => {
      let known = this.#counts.get(key);
      const isOld = known === undefined || this.#deps.clock.elapsed() - known.countedAt >= RECOUNT_MS;
      if (known === undefined || (known.count >= limit && isOld)) {
        await Promise.all([...(this.#pending.get(key) ?? [])]);
        known = {
          count: await this.#deps.store.countUnfinished(filter),
          countedAt: this.#deps.clock.elapsed(),
        };
        if (this.#counts.size >= MAX_REMEMBERED) this.#counts.clear();
        this.#counts.set(key, known);
      }
      if (known.count >= limit) return undefined;
      known.count += 1;
      return this.#reserve(key, known);
    });
  }

  #reserve(key: string, counted: Count): Reservation['finish'] {
    const { promise, resolve } = Promise.withResolvers<void>();
    const pending = this.#pending.get(key) ?? new Set();
    this.#pending.set(key, pending.add(promise));
    return (isUsed) => {
      // If it was counted again meanwhile, this changes a count that is no longer used.
      if (!isUsed) counted.count -= 1;
      pending.delete(promise);
      if (pending.size === 0 && this.#pending.get(key) === pending) this.#pending.delete(key);
      resolve();
    };
  }
}
