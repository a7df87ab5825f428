import type { Bench, Findings, Requirement } from '../experiment.ts';
import { quietUsage } from '../quiet-usage.ts';
import type { Scene } from './scene.ts';

/** Connects agents in steps and measures the server's memory when it is stable after each step. */
export async function measureMemory(
  { stage, fleet }: Scene,
  { counts, say, signal }: { counts: readonly number[] } & Pick<Bench, 'say' | 'signal'>,
): Promise<Pick<Findings, 'measurements'> & { requirement: Requirement }> {
  const { pid } = stage.server;
  if (pid === undefined) throw new Error('the server did not start');
  const { rssBytes: before } = await quietUsage(pid, { signal });
  const measurements: Findings['measurements'] = [];
  let perAgent = 0;
  for (const count of counts) {
    const seconds = await fleet.growTo(count, { signal });
    const { rssBytes } = await quietUsage(pid, { signal });
    perAgent = (rssBytes - before) / count / 1000;
    say(
      `${count} agents: ${(rssBytes / 1e6).toFixed(1)} MB, the last connected within ${seconds.toFixed(2)} s`,
    );
    const common = { subject: 'Backhaul server', at: { axis: 'agents', value: count } };
    measurements.push(
      { ...common, quantity: 'resident memory', unit: 'MB', samples: [rssBytes / 1e6] },
      { ...common, quantity: 'time to connect those added', unit: 's', samples: [seconds] },
    );
  }
  const most = counts.at(-1) ?? 0;
  return {
    measurements,
    requirement: {
      text: `memory of the server for each of ${most} agents`,
      ...{ measured: perAgent, unit: 'kB', limit: { atMost: 30 } },
    },
  };
}
