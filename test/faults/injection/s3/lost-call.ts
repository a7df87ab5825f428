import type { S3Fault } from './s3-fault.ts';

/** The connection breaks before any of the request has reached the store. */
export function dropRequest(): S3Fault {
  return {
    kind: 'dropRequest',
    apply: (exchange, { tookEffect }) => {
      exchange.drop();
      tookEffect();
      return Promise.resolve();
    },
  };
}

/** The store processes the request, and the connection breaks before any of the response. */
export function dropAnswer(): S3Fault {
  return {
    kind: 'dropAnswer',
    apply: async (exchange, { tookEffect }) => {
      const answer = await exchange.forward();
      await answer.bytes();
      exchange.drop();
      tookEffect();
    },
  };
}

/**
 * The connection breaks once the request has been sent. The request reaches the store only if and when the rule is
 * released; its body is held in memory.
 */
export function arriveLate(): S3Fault {
  return {
    kind: 'arriveLate',
    apply: async (exchange, { tookEffect, released }) => {
      const body = await exchange.takeBody();
      exchange.drop();
      tookEffect();
      if (!(await released())) return;
      const answer = await exchange.deliver(body);
      await answer.bytes();
    },
  };
}
