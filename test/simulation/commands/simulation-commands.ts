import type fc from 'fast-check';
import type { SimulationCommand } from './command.ts';
import { agentDeaths, restart, serverDeaths } from './death-commands.ts';
import { appending, fileCommands } from './file-commands.ts';
import { lateFrameCommands } from './late-frame-commands.ts';
import { flow, networkCommands } from './network-commands.ts';
import { operatorCommands, triggers } from './operator-commands.ts';
import { raceCommands } from './race-commands.ts';
import { putFaults, storeFaults } from './store-commands.ts';
import { longTimes, timeCommands } from './time-commands.ts';

/** All commands of the simulation; those listed several times are drawn more often. */
export const simulationCommands: readonly fc.Arbitrary<SimulationCommand>[] = [
  ...many(24, [flow]),
  ...many(10, [restart]),
  ...many(10, [triggers]),
  ...many(8, [agentDeaths]),
  ...many(3, putFaults),
  ...many(2, [...networkCommands, ...lateFrameCommands, ...timeCommands]),
  longTimes,
  ...many(2, serverDeaths),
  ...many(2, [...storeFaults, ...raceCommands]),
  ...many(2, operatorCommands),
  ...fileCommands,
  appending,
  appending,
];

function many<Item>(times: number, items: readonly Item[]): Item[] {
  return Array.from({ length: times }, () => items).flat();
}
