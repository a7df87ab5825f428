import { setTimeout as sleep } from 'node:timers/promises';
import { type ProcessUsage, processUsage } from '../test/harness/process-usage.ts';

const INTERVAL_MS = 1000;
const QUIET_INTERVALS = 5;
/** Share of the resident memory; garbage collection changes more. */
const QUIET_SHARE = 0.002;
const MOST_INTERVALS = 60;

/**
 * Waits until the memory of an idle process is stable and returns its usage: the collector returns memory seconds after
 * the work has ended. @throws the signal's reason.
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
