import { setTimeout as sleep } from 'node:timers/promises';
import type { Log } from '../domain/ports/log.ts';
import { StoreError } from '../domain/ports/store.ts';

const BASE_MS = 250;
const CAP_MS = 5000;

/**
 * Runs `task` repeatedly until the database accepts its write. On a connection that stays open an agent never repeats
 * a message, so it is held here; closing the connection instead would make all agents reconnect at once to a database
 * that cannot accept their hello either.
 *
 * @param options.signal Stops retrying; unrecorded data then has to come from elsewhere.
 * @returns whether it was recorded.
 * @throws any error that is not a StoreError.
 */
export async function retryOnStoreError(
  task: () => Promise<void>,
  { signal, log }: { signal: AbortSignal; log: Log },
): Promise<boolean> {
  for (let tries = 0; ; tries += 1) {
    try {
      await task();
      return true;
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      log.warn({ err: error, tries }, 'database unavailable; retrying');
    }
    const ceiling = Math.min(CAP_MS, BASE_MS * 2 ** Math.min(tries, 16));
    await sleep(Math.random() * ceiling, undefined, { signal }).catch(() => undefined);
    if (signal.aborted) return false;
  }
}
