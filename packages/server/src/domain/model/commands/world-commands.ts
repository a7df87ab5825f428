import type fc from 'fast-check';
import type { WorldCommand } from './command.ts';
import { crashes, putFaults, restart, storeFaults, timeCommands } from './fault-commands.ts';
import { fileCommands } from './file-commands.ts';
import { flow, networkCommands } from './network-commands.ts';
import { operatorCommands, triggers } from './operator-commands.ts';

/** All that happens in the model; what is named more often, more often. */
export const worldCommands: readonly fc.Arbitrary<WorldCommand>[] = [
  ...many(14, [flow]),
  ...many(4, [triggers, restart]),
  ...many(2, [...networkCommands, ...putFaults, ...crashes, ...timeCommands]),
  ...operatorCommands,
  ...storeFaults,
  ...fileCommands,
];

function many<Item>(times: number, items: readonly Item[]): Item[] {
  return Array.from({ length: times }, () => items).flat();
}
