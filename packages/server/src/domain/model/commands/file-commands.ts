import fc from 'fast-check';
import type { SimulatedFile } from '../agent/simulated-file.ts';
import type { Fact } from '../tally.ts';
import type { World } from '../world.ts';
import { type WorldCommand, command, drawn, pick, someAgent } from './command.ts';

const MAX_MIB = 19;
const place = fc.record({ agent: someAgent, file: fc.nat(1) });

/** As programs do that write logs. */
export const appending = change('append', 'file appended to during an attempt', (file, drawn) => {
  if (file.sizeMiB < MAX_MIB) file.append(Math.min(1 + drawn, MAX_MIB - file.sizeMiB));
});

/** What else other programs do to a file on an agent's machine. */
export const fileCommands: readonly fc.Arbitrary<WorldCommand>[] = [
  change('truncate', 'file cut short during an attempt', (file, drawn) => {
    file.truncate(Math.max(0, file.sizeMiB - 1 - drawn));
  }),
  change('rewrite', 'file rewritten during an attempt, its mtime put back', (file) => file.rewrite()),
  change('replace', 'file replaced during an attempt', (file, drawn) => file.replace(2 * drawn)),
  change('chmod', 'file touched by chmod during an attempt', (file) => file.chmod()),
];

function change(
  name: string,
  fact: Fact,
  act: (file: SimulatedFile, drawn: number) => void,
): fc.Arbitrary<WorldCommand> {
  return command(name, fc.tuple(place, drawn), {
    act(world, [place, drawn]) {
      const agent = world.agents[place.agent];
      if (agent === undefined) return;
      // Rather one of which it matters.
      const beingSent = agent.files.filter((file) => isBeingSent(world, agent.clientId, file));
      const file = pick(beingSent, place.file) ?? agent.files[place.file];
      if (file === undefined) return;
      act(file, drawn);
      if (beingSent.includes(file)) world.tally.count(fact);
    },
  });
}

function isBeingSent({ desk }: World, clientId: string, { path }: SimulatedFile): boolean {
  return desk.uploads.some(
    ({ status, ...upload }) =>
      upload.clientId === clientId &&
      upload.filePath === path &&
      (status === 'preparing' || status === 'uploading'),
  );
}
