import type { Clock } from './domain/ports/clock.ts';

/** The machine's own. A machine that sleeps does not count the time in `elapsed` everywhere. */
export const systemClock: Clock = {
  now: () => Date.now(),
  elapsed: () => performance.now(),
};
