import { setTimeout as sleep } from 'node:timers/promises';

/** A temporary fault; it is over when `run` resolves. */
export interface Fault {
  readonly kind: string;
  /** Affected component; at most one fault affects it at a time. */
  readonly target: string;
  /** Relative probability of being chosen. */
  readonly weight: number;
  /**
   * @param options.over Ends it early.
   * @returns How often the fault took effect.
   */
  readonly run: (options: { random: () => number; over: AbortSignal }) => Promise<number>;
}

/** Waits some seconds, or until `over`. */
export async function lasting(
  { random, over }: Parameters<Fault['run']>[0],
  [shortestMs, longestMs]: readonly [number, number],
): Promise<void> {
  const ms = shortestMs + random() * (longestMs - shortestMs);
  await sleep(ms, undefined, { signal: over }).catch(() => undefined);
}
