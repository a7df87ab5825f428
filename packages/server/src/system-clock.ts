import type { Clock } from './domain/ports/clock.ts';

/** The machine's clock. On some platforms `elapsed` does not count time the machine sleeps. */
export const systemClock: Clock = {
  now: () => Date.now(),
  elapsed: () => performance.now(),
};
