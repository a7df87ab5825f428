import { setTimeout as sleep } from 'node:timers/promises';
import type { Log } from '../domain/ports/log.ts';
import { StoreError } from '../domain/ports/store.ts';

const BASE_MS = 250;
const CAP_MS = 5000;

/**
 * Runs `task` again and again until the database takes what it writes. On a socket that stays an agent says nothing
 * twice, so what it has said is kept here; closing the socket instead would have all agents come back at once to a
 * database that cannot take their hello either.
 *
 * @param options.signal Ends the tries; what is not on record then has to come from elsewhere.
 * @returns whether it is on record.
 * @throws whatever is no StoreError.
 */
export async function untilRecorded(
  task: () => Promise<void>,
  { signal, log }: { signal: AbortSignal; log: Log },
): Promise<boolean> {
  for (let tries = 0; ; tries += 1) {
    try {
      await task();
      return true;
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      log.warn({ err: error, tries }, 'database unavailable; tried again');
    }
    const ceiling = Math.min(CAP_MS, BASE_MS * 2 ** Math.min(tries, 16));
    await sleep(Math.random() * ceiling, undefined, { signal }).catch(() => undefined);
    if (signal.aborted) return false;
  }
}
