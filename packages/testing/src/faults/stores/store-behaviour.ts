import type { S3Target } from '../../object-store.ts';
import { EffectCount } from '../effect-count.ts';
import type { S3Exchange } from '../s3/s3-exchange.ts';
import type { S3Fault } from '../s3/s3-fault.ts';

/**
 * One way in which a store differs from Amazon S3, or what stands before it, for as long as it runs. It is named for
 * what it does, not for a product: stores share behaviours, and lose them with a release.
 *
 *     await using stage = await Stage.start({ store: refusesEmptyParts });
 *     …
 *     assert.ok(stage.behaviour.shownCount > 0);
 */
export class StoreBehaviour {
  /** What follows "a store that …", e.g. `refuses an empty part`. */
  readonly name: string;
  readonly #faultOf: (exchange: S3Exchange) => S3Fault | undefined;
  readonly #shown = new EffectCount();

  /** @param faultOf What is done to a call in place of passing it on; undefined passes it. */
  constructor(name: string, faultOf: (exchange: S3Exchange) => S3Fault | undefined) {
    this.name = name;
    this.#faultOf = faultOf;
  }

  /** Calls in which it showed. */
  get shownCount(): number {
    return this.#shown.count;
  }

  /** @throws Error that names it if it does not show within 30 s. */
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

/** Makes a store behave so. @param store The one behind, for what it has to be asked or made to do. */
export type StoreDouble = (store: S3Target) => StoreBehaviour;

function never(): Promise<boolean> {
  throw new TypeError('a behaviour is never released; use a rule');
}
