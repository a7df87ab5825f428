import type { S3Call } from './s3-call.ts';
import type { S3Fault } from './s3-fault.ts';
import type { StoreAnswer } from './store-answer.ts';

/** `drop` breaks the client's connection; any other value lets the call continue. */
export type HoldOutcome = 'drop' | 'go on' | void;

/** Hooks that run at a point of the call, e.g. to kill a program. */
export interface HoldHooks {
  /** Runs when the request has arrived and none of it has been forwarded. */
  readonly before?: ((call: S3Call) => Promise<HoldOutcome> | HoldOutcome) | undefined;
  /** Runs when the store has completed the request and no response has been sent. */
  readonly after?: ((call: S3Call, answer: StoreAnswer) => Promise<HoldOutcome> | HoldOutcome) | undefined;
}

/** Stops the call at one or two points. If the client disconnects during `before`, its request is not forwarded. */
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

/** Holds the request, without forwarding any of it, until the rule is released. */
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

/** Holds the store's complete response until the rule is released. */
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
