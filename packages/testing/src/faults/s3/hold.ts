import type { S3Call } from './s3-call.ts';
import type { S3Fault } from './s3-fault.ts';
import type { StoreAnswer } from './store-answer.ts';

/** `drop` breaks the client's connection; anything else lets the call go on. */
export type HoldOutcome = 'drop' | 'go on' | void;

/** Do something at this very moment, e.g. kill a program. */
export interface HoldHooks {
  /** The request has arrived, and nothing of it has been sent on. */
  readonly before?: ((call: S3Call) => Promise<HoldOutcome> | HoldOutcome) | undefined;
  /** The store has done it, and nothing has been answered. */
  readonly after?: ((call: S3Call, answer: StoreAnswer) => Promise<HoldOutcome> | HoldOutcome) | undefined;
}

/**
 * Stops the call at one moment or two. A client that has gone meanwhile is not heard of any more: what it asked is
 * then not sent on.
 */
export function hold(hooks: HoldHooks): S3Fault {
  const { before, after } = hooks;
  if (before === undefined && after === undefined) throw new TypeError('hold() needs `before` or `after`');
  return {
    kind: 'hold',
    apply: async (exchange, { tookEffect }) => {
      if (before !== undefined) {
        tookEffect();
        if ((await before(exchange.call)) === 'drop') return exchange.drop();
      }
      const answer = await exchange.forward();
      if (after !== undefined) {
        await answer.bytes();
        if (before === undefined) tookEffect();
        if ((await after(exchange.call, answer)) === 'drop') return exchange.drop();
      }
      await exchange.relay(answer);
    },
  };
}

/** Holds the request, of which nothing has been sent on, until the rule is released. */
export function holdRequest(): S3Fault {
  return {
    kind: 'holdRequest',
    apply: async (exchange, { tookEffect, released }) => {
      tookEffect();
      await released(exchange.signal);
      await exchange.pass();
    },
  };
}

/** Holds the answer to what the store has done until the rule is released. */
export function holdAnswer(): S3Fault {
  return {
    kind: 'holdAnswer',
    apply: async (exchange, { tookEffect, released }) => {
      const answer = await exchange.forward();
      await answer.bytes();
      tookEffect();
      await released(exchange.signal);
      await exchange.relay(answer);
    },
  };
}
