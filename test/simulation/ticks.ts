import { setImmediate as nextTurn } from 'node:timers/promises';

/** Waits for the given number of ticks of the event loop. */
export async function ticks(count: number): Promise<void> {
  for (let turn = 0; turn < count; turn += 1) await nextTurn();
}
