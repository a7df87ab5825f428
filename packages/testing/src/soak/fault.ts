import { setTimeout as sleep } from 'node:timers/promises';

/** Something bad that happens for a while and is over when it resolves. */
export interface Fault {
  readonly kind: string;
  /** What suffers it; by one fault at a time. */
  readonly target: string;
  /** Of being chosen, compared with others. */
  readonly weight: number;
  /**
   * @param options.over Ends it early.
   * @returns How often it showed.
   */
  readonly run: (options: { random: () => number; over: AbortSignal }) => Promise<number>;
}

/** Some seconds, or until it is over. */
export async function lasting(
  { random, over }: Parameters<Fault['run']>[0],
  [shortestMs, longestMs]: readonly [number, number],
): Promise<void> {
  const ms = shortestMs + random() * (longestMs - shortestMs);
  await sleep(ms, undefined, { signal: over }).catch(() => undefined);
}
