import fc from 'fast-check';
import type { SimulatedFile } from '../agent/simulated-file.ts';
import type { Fact } from '../coverage.ts';
import type { Simulation } from '../simulation.ts';
import { type SimulationCommand, command, drawn, pick, someAgent } from './command.ts';

const MAX_MIB = 19;
const target = fc.record({ agent: someAgent, file: fc.nat(1) });

/** As programs that write logs do. */
export const appending = change('append', 'file appended to during an attempt', (file, drawn) => {
  if (file.sizeMiB < MAX_MIB) file.append(Math.min(1 + drawn, MAX_MIB - file.sizeMiB));
});

/** Other changes that programs make to a file on an agent's machine. */
export const fileCommands: readonly fc.Arbitrary<SimulationCommand>[] = [
  change('truncate', 'file truncated during an attempt', (file, drawn) => {
    file.truncate(Math.max(0, file.sizeMiB - 1 - drawn));
  }),
  change('rewrite', 'file rewritten during an attempt, its mtime restored', (file) => file.rewrite()),
  change('replace', 'file replaced during an attempt', (file, drawn) => file.replace(2 * drawn)),
  change('chmod', 'file touched by chmod during an attempt', (file) => file.chmod()),
];

function change(
  name: string,
  fact: Fact,
  act: (file: SimulatedFile, drawn: number) => void,
): fc.Arbitrary<SimulationCommand> {
  return command(name, fc.tuple(target, drawn), {
    act(simulation, [target, drawn]) {
      const agent = simulation.agents[target.agent];
      if (agent === undefined) return;
      // Prefers a file that is being sent.
      const beingSent = agent.files.filter((file) => isBeingSent(simulation, agent.clientId, file));
      const file = pick(beingSent, target.file) ?? agent.files[target.file];
      if (file === undefined) return;
      act(file, drawn);
      if (beingSent.includes(file)) simulation.coverage.count(fact);
    },
  });
}

function isBeingSent({ operators }: Simulation, clientId: string, { path }: SimulatedFile): boolean {
  return operators.uploads.some(
    ({ status, ...upload }) =>
      upload.clientId === clientId &&
      upload.filePath === path &&
      (status === 'preparing' || status === 'uploading'),
  );
}
