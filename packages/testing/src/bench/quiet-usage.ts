import { setTimeout as sleep } from 'node:timers/promises';
import { type ProcessUsage, processUsage } from './process-usage.ts';

const INTERVAL_MS = 1000;
const QUIET_INTERVALS = 5;
/** Of the resident memory; a collector at work changes more. */
const QUIET_SHARE = 0.002;
const MOST_INTERVALS = 60;

/**
 * The usage of a process that has been left alone until its memory stays as it is: after work the collector still
 * returns some, seconds later. @throws the signal's reason.
 */
export async function quietUsage(pid: number, { signal }: { signal: AbortSignal }): Promise<ProcessUsage> {
  let usage = await processUsage(pid);
  let quiet = 0;
  for (let interval = 0; quiet < QUIET_INTERVALS && interval < MOST_INTERVALS; interval += 1) {
    await sleep(INTERVAL_MS, undefined, { signal });
    const next = await processUsage(pid);
    const isQuiet = Math.abs(next.rssBytes - usage.rssBytes) < usage.rssBytes * QUIET_SHARE;
    quiet = isQuiet ? quiet + 1 : 0;
    usage = next;
  }
  return usage;
}
