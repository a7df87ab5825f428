import { setTimeout as sleep } from 'node:timers/promises';
import type { S3Fault } from './s3-fault.ts';

export interface SlowOptions {
  /** Wait before anything is sent on. */
  readonly beforeRequestMs?: number;
  /** Wait once the store has done it. */
  readonly beforeAnswerMs?: number;
  /** The request's body trickles. */
  readonly bytesPerSecond?: number;
}

/** All arrives, later. */
export function slow({ beforeRequestMs = 0, beforeAnswerMs = 0, bytesPerSecond }: SlowOptions): S3Fault {
  return {
    kind: 'slow',
    apply: async (exchange, { tookEffect }) => {
      const { signal } = exchange;
      tookEffect();
      await pause(beforeRequestMs, signal);
      const startedAt = performance.now();
      const pace = async (bytesRead: number): Promise<void> => {
        if (bytesPerSecond === undefined) return;
        await pause(startedAt + (bytesRead / bytesPerSecond) * 1000 - performance.now(), signal);
      };
      const answer = await exchange.forward({ pace });
      if (beforeAnswerMs > 0) await answer.bytes();
      await pause(beforeAnswerMs, signal);
      await exchange.relay(answer);
    },
  };
}

/** Ends early when the client has gone; what follows finds that out. */
async function pause(ms: number, signal: AbortSignal): Promise<void> {
  if (ms > 0) await sleep(ms, undefined, { signal }).catch(() => undefined);
}

/**
 * A peer that keeps the connection and reads no more of the body: it fills what the system buffers, some megabytes,
 * and then hears nothing. Goes on when the rule is released; does not notice before that a client has left.
 *
 * @param options.afterBytes So much is read, about, and sent on before.
 */
export function stopReading({ afterBytes = 0 }: { afterBytes?: number } = {}): S3Fault {
  return {
    kind: 'stopReading',
    apply: async (exchange, { tookEffect, released }) => {
      let stopped = false;
      const answer = await exchange.forward({
        pace: async (bytesRead) => {
          if (stopped || bytesRead < afterBytes) return;
          stopped = true;
          tookEffect();
          await released(exchange.signal);
        },
      });
      await exchange.relay(answer);
    },
  };
}
