import { BackhaulError } from '@backhaul/protocol';
import { KeyedLock } from '../keyed-lock.ts';
import type { Clock } from '../ports/clock.ts';
import type { Store } from '../ports/store.ts';

export type UnfinishedRefusal = 'unfinished_per_token' | 'unfinished_per_client';

export interface UnfinishedLimits {
  /** 0 is no limit. */
  readonly perToken: number;
  /** 0 is no limit. */
  readonly perClient: number;
  /** Told of each upload that is refused. */
  readonly onRefused: (limit: UnfinishedRefusal) => void;
}

/** Room for one more upload of a client and a subject, or what stands against it. */
export interface Place {
  readonly isGranted: boolean;
  /** @throws BackhaulError `too_many_requests` if it is not granted. */
  assertGranted(): void;
  /** To be called once it is known whether there is one more upload. */
  settle(isUsed: boolean): void;
}

interface Count {
  count: number;
  /** By `clock.elapsed()`. */
  readonly countedAt: number;
}

/** A subject or client at its limit is counted again this long after the last count at the soonest. */
const RECOUNT_MS = 250;
/** Subjects and clients whose count is remembered. */
const MAX_REMEMBERED = 10_000;

/**
 * Bounds the uploads that have not ended: those that one token subject asked for, which may come from a faulty
 * program, and those for one client. Counting them takes as long as there are many, so that is done at the first upload
 * of each and whenever the limit seems to be reached; in between uploads are counted as they come, and none as they end.
 */
export class UnfinishedQuota {
  readonly #store: Pick<Store, 'countUnfinished'>;
  readonly #clock: Clock;
  readonly #limits: UnfinishedLimits;
  readonly #inOrder = new KeyedLock();
  readonly #counts = new Map<string, Count>();
  /** Places of which it is not known yet whether the database has them; a count waits for these. */
  readonly #unsettled = new Map<string, Set<Promise<void>>>();

  constructor(parts: { store: Pick<Store, 'countUnfinished'>; clock: Clock; limits: UnfinishedLimits }) {
    this.#store = parts.store;
    this.#clock = parts.clock;
    this.#limits = parts.limits;
  }

  /** @param who The upload's client, and the subject that first asked for it. */
  async take({ clientId, requestedBy }: { clientId: string; requestedBy: string }): Promise<Place> {
    const { perClient, perToken } = this.#limits;
    const settleClient = await this.#takeOne(`client ${clientId}`, perClient, { clientId });
    if (settleClient === undefined) {
      return this.#refused(
        'unfinished_per_client',
        `Client ${clientId} has ${perClient} uploads that have not ended. Wait for them or cancel some, or raise the server's setting MAX_UNFINISHED_PER_CLIENT.`,
      );
    }
    let settleToken: Place['settle'] | undefined;
    try {
      settleToken = await this.#takeOne(`token ${requestedBy}`, perToken, { requestedBy });
    } finally {
      if (settleToken === undefined) settleClient(false);
    }
    if (settleToken === undefined) {
      return this.#refused(
        'unfinished_per_token',
        `Tokens of the subject "${requestedBy}" have asked for ${perToken} uploads that have not ended. Wait for them or cancel some, or raise the server's setting MAX_UNFINISHED_PER_TOKEN.`,
      );
    }
    const settles = [settleClient, settleToken];
    return {
      isGranted: true,
      assertGranted: () => {},
      settle: (isUsed) => {
        for (const settle of settles.splice(0)) settle(isUsed);
      },
    };
  }

  #refused(limit: UnfinishedRefusal, message: string): Place {
    return {
      isGranted: false,
      assertGranted: () => {
        this.#limits.onRefused(limit);
        throw new BackhaulError('too_many_requests', message);
      },
      settle: () => {},
    };
  }

  /** @returns undefined at the limit. */
  async #takeOne(
    key: string,
    limit: number,
    filter: Parameters<Store['countUnfinished']>[0],
  ): Promise<Place['settle'] | undefined> {
    if (limit === 0) return () => {};
    return await this.#inOrder.run(key, async () => {
      let known = this.#counts.get(key);
      const isOld = known === undefined || this.#clock.elapsed() - known.countedAt >= RECOUNT_MS;
      if (known === undefined || (known.count >= limit && isOld)) {
        await Promise.all([...(this.#unsettled.get(key) ?? [])]);
        known = { count: await this.#store.countUnfinished(filter), countedAt: this.#clock.elapsed() };
        if (this.#counts.size >= MAX_REMEMBERED) this.#counts.clear();
        this.#counts.set(key, known);
      }
      if (known.count >= limit) return undefined;
      known.count += 1;
      return this.#unsettledPlace(key, known);
    });
  }

  #unsettledPlace(key: string, counted: Count): Place['settle'] {
    const { promise, resolve } = Promise.withResolvers<void>();
    const unsettled = this.#unsettled.get(key) ?? new Set();
    this.#unsettled.set(key, unsettled.add(promise));
    return (isUsed) => {
      // If it was counted anew meanwhile, this changes a count that nobody looks at any more.
      if (!isUsed) counted.count -= 1;
      unsettled.delete(promise);
      if (unsettled.size === 0 && this.#unsettled.get(key) === unsettled) this.#unsettled.delete(key);
      resolve();
    };
  }
}
