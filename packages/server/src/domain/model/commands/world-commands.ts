import type fc from 'fast-check';
import type { WorldCommand } from './command.ts';
import { agentDeaths, restart, serverDeaths } from './death-commands.ts';
import { appending, fileCommands } from './file-commands.ts';
import { flow, networkCommands } from './network-commands.ts';
import { operatorCommands, triggers } from './operator-commands.ts';
import { putFaults, storeFaults } from './store-commands.ts';
import { longTimes, timeCommands } from './time-commands.ts';

/** All that happens in the model; what is named more often, more often. */
export const worldCommands: readonly fc.Arbitrary<WorldCommand>[] = [
  ...many(24, [flow]),
  ...many(10, [restart]),
  ...many(10, [triggers]),
  ...many(8, [agentDeaths]),
  ...many(2, [...networkCommands, ...putFaults, ...timeCommands]),
  longTimes,
  ...serverDeaths,
  ...many(2, storeFaults),
  ...operatorCommands,
  ...fileCommands,
  appending,
  appending,
];

function many<Item>(times: number, items: readonly Item[]): Item[] {
  return Array.from({ length: times }, () => items).flat();
}
