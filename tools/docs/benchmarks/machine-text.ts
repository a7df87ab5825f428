import type { Machine } from '../../../bench/report/machine.ts';

/** States when, at which commit, on which machine and with which peers an experiment was run. */
export function machineText(machine: Machine): string {
  const { commit, cores, cpu, memoryBytes, os, kernel, node, peers, measuredAt } = machine;
  const changes = commit.dirty ? ' with uncommitted changes' : '';
  const versions = Object.entries(peers).map(([name, version]) => `${name} ${version}`);
  return [
    `Measured on ${measuredAt.slice(0, 10)} at commit \`${commit.revision}\`${changes}, on ${cores} ${
      cores === 1 ? 'core' : 'cores'
    } of ${cpu} with ${(memoryBytes / 1e9).toFixed(1)} GB of memory; ${os}, ${kernel}, Node.js ${node}.`,
    ...(versions.length === 0 ? [] : [`Installed peers: ${versions.join(', ')}.`]),
  ].join(' ');
}
