import type { SoakOptions } from './options.ts';
import type { Results } from './results.ts';
import { percentile, renderTally } from './tally.ts';

/** Renders all results of a soak for a terminal. */
export function renderReport(options: SoakOptions, results: Results): string {
  const { faults, hitCalls, changes, outcomes, requests, durationsMs, wrong, pulls } = results;
  const seconds = (share: number) => (percentile(durationsMs, share) / 1000).toFixed(1);
  const retries = [...pulls.values()].reduce((sum, pull) => sum + pull.retries, 0);
  return [
    '',
    renderTally('fault', faults),
    '',
    renderTally('call of the store that failed at random', hitCalls),
    '',
    renderTally('change of a file', changes),
    '',
    renderTally('outcome', outcomes),
    '',
    renderTally('request', requests),
    '',
    `uploads         ${pulls.size}, and ${retries} retries`,
    `durations       of completed ones: half within ${seconds(0.5)} s, 95 % within ${seconds(0.95)} s`,
    `seed            ${options.seed}`,
    ...wrong.map((what) => `WRONG           ${what}`),
    `wrong outcomes: ${wrong.length}`,
    '',
  ].join('\n');
}
