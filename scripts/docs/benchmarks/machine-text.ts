import type { Machine } from '../../../packages/testing/src/bench/report/machine.ts';

/** One sentence on when, at which commit, on what and beside what was measured. */
export function machineText(machine: Machine): string {
  const { commit, cores, cpu, memoryBytes, os, kernel, node, peers, measuredAt } = machine;
  const changes = commit.dirty ? ' with changes that are in no commit' : '';
  const versions = Object.entries(peers).map(([name, version]) => `${name} ${version}`);
  return [
    `Measured on ${measuredAt.slice(0, 10)} at commit \`${commit.revision}\`${changes}, on ${cores} ${
      cores === 1 ? 'core' : 'cores'
    } of ${cpu} with ${(memoryBytes / 1e9).toFixed(1)} GB of memory; ${os}, ${kernel}, Node.js ${node}.`,
    ...(versions.length === 0 ? [] : [`Installed peers: ${versions.join(', ')}.`]),
  ].join(' ');
}
