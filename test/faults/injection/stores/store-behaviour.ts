import type { S3Target } from '../../../harness/object-store.ts';
import { EffectCount } from '../effect-count.ts';
import type { S3Exchange } from '../s3/s3-exchange.ts';
import type { S3Fault } from '../s3/s3-fault.ts';

/**
 * One way in which a store, or a proxy in front of it, permanently differs from Amazon S3. It is named for what it
 * does, not for a product: stores share behaviours, and a new release may drop them.
 *
 *     await using stage = await Stage.start({ store: refusesEmptyParts });
 *     …
 *     assert.ok(stage.behaviour.shownCount > 0);
 */
export class StoreBehaviour {
  /** Predicate that completes "a store that …", e.g. `refuses an empty part`. */
  readonly name: string;
  readonly #faultOf: (exchange: S3Exchange) => S3Fault | undefined;
  readonly #shown = new EffectCount();

  /** @param faultOf Returns the fault for a call; undefined forwards the call. */
  constructor(name: string, faultOf: (exchange: S3Exchange) => S3Fault | undefined) {
    this.name = name;
    this.#faultOf = faultOf;
  }

  /** Number of calls in which the behaviour took effect. */
  get shownCount(): number {
    return this.#shown.count;
  }

  /** Waits until the behaviour takes effect. @throws Error that names it after 30 s. */
  async shown(): Promise<void> {
    const describe = (): string => `a store that ${this.name} was not seen to do so`;
    await this.#shown.reached(1, { deadlineMs: 30_000, describe });
  }

  async answer(exchange: S3Exchange): Promise<void> {
    const fault = this.#faultOf(exchange);
    if (fault === undefined) return await exchange.pass();
    exchange.call.fault = fault.kind;
    await fault.apply(exchange, { tookEffect: () => this.#shown.add(), released: never });
  }
}

/** Creates the behaviour of a store. @param store The real store, for the calls that it needs. */
export type StoreDouble = (store: S3Target) => StoreBehaviour;

function never(): Promise<boolean> {
  throw new TypeError('a behaviour is never released; use a rule');
}
