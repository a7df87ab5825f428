import { setTimeout as sleep } from 'node:timers/promises';
import type { S3Fault } from './s3-fault.ts';

export interface SlowOptions {
  /** Delay before the request is forwarded. */
  readonly beforeRequestMs?: number;
  /** Delay after the store has completed the request. */
  readonly beforeAnswerMs?: number;
  /** Rate at which the request's body is read. */
  readonly bytesPerSecond?: number;
}

/** Delivers everything late. */
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

/** Ends early if the client disconnects; the next step detects that. */
async function pause(ms: number, signal: AbortSignal): Promise<void> {
  if (ms > 0) await sleep(ms, undefined, { signal }).catch(() => undefined);
}

/**
 * Keeps the connection but stops reading the body: the client fills the system's buffers, some megabytes, and then
 * stalls. Continues when the rule is released; does not notice before then that a client has disconnected.
 *
 * @param options.afterBytes Approximate number of bytes that are read and forwarded first.
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
