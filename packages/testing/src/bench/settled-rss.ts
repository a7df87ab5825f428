import { setTimeout as sleep } from 'node:timers/promises';
import { processUsage } from './process-usage.ts';

const STEP_MS = 500;
const STEPS_AT_MOST = 20;
const STILL_BYTES = 500_000;

/** Resident bytes once they hardly change within half a second; after 10 s as they are then. */
export async function settledRssBytes(pid: number, { signal }: { signal: AbortSignal }): Promise<number> {
  let before = Infinity;
  for (let step = 0; ; step += 1) {
    const { rssBytes } = await processUsage(pid);
    if (Math.abs(before - rssBytes) < STILL_BYTES || step === STEPS_AT_MOST) return rssBytes;
    before = rssBytes;
    await sleep(STEP_MS, undefined, { signal });
  }
}
