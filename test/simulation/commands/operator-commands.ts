import { isTerminal } from '@backhaul/protocol';
import fc from 'fast-check';
import type { Upload } from '../../../packages/server/src/domain/uploads/upload.ts';
import { HOUR_MS } from '../server/simulated-server.ts';
import type { Simulation } from '../simulation.ts';
import { type SimulationCommand, command, drawn, pick, someAgent } from './command.ts';

/** Requests of operators. */
export const triggers: fc.Arbitrary<SimulationCommand> = command(
  'trigger',
  fc.record({
    agent: someAgent,
    file: fc.nat(1),
    onChange: fc.constantFrom('fail', 'restart', 'prefix', 'prefix'),
    expiresInMs: fc.constantFrom(undefined, undefined, undefined, HOUR_MS / 2),
    force: fc.boolean(),
  }),
  {
    can: ({ server, operators }) => server !== undefined && operators.hasRoom,
    act({ operators, agents }, { agent, file, ...options }) {
      const machine = agents[agent];
      const filePath = machine?.files[file]?.path;
      if (machine === undefined || filePath === undefined) return;
      operators.trigger({ clientId: machine.clientId, filePath, ...options });
    },
  },
);

export const operatorCommands: readonly fc.Arbitrary<SimulationCommand>[] = [
  command('cancel', drawn, {
    can: ({ server, operators }) => server !== undefined && operators.uploads.some(isUnfinished),
    act({ operators }, drawn) {
      const upload = pick(operators.uploads.filter(isUnfinished), drawn);
      if (upload !== undefined) operators.cancel(upload);
    },
  }),
  command('cancel a completing one', drawn, {
    can: ({ server, operators }) => server !== undefined && operators.uploads.some(isCompleting),
    act({ operators }, drawn) {
      const upload = pick(operators.uploads.filter(isCompleting), drawn);
      if (upload !== undefined) operators.cancel(upload);
    },
  }),
  command('retry', drawn, {
    can: hasEnded,
    act({ operators }, drawn) {
      const upload = pick(
        operators.uploads.filter(({ status }) => isTerminal(status)),
        drawn,
      );
      if (upload !== undefined) operators.retry(upload);
    },
  }),
  command('remove', fc.tuple(drawn, fc.boolean()), {
    can: hasEnded,
    act({ operators }, [drawn, withObject]) {
      const upload = pick(
        operators.uploads.filter(({ status }) => isTerminal(status)),
        drawn,
      );
      if (upload !== undefined) operators.remove(upload, { withObject });
    },
  }),
];

function isUnfinished({ status }: Upload): boolean {
  return !isTerminal(status);
}

function isCompleting({ status }: Upload): boolean {
  return status === 'completing';
}

function hasEnded({ server, operators }: Simulation): boolean {
  return server !== undefined && operators.uploads.some(({ status }) => isTerminal(status));
}
