import { isTerminal } from '@backhaul/protocol';
import fc from 'fast-check';
import type { Upload } from '../../uploads/upload.ts';
import { HOUR_MS } from '../server/simulated-server.ts';
import type { World } from '../world.ts';
import { type WorldCommand, command, drawn, pick, someAgent } from './command.ts';

/** What operators ask for. */
export const triggers: fc.Arbitrary<WorldCommand> = command(
  'trigger',
  fc.record({
    agent: someAgent,
    file: fc.nat(1),
    onChange: fc.constantFrom('fail', 'restart', 'prefix', 'prefix'),
    expiresInMs: fc.constantFrom(undefined, undefined, undefined, HOUR_MS / 2),
    force: fc.boolean(),
  }),
  {
    can: ({ server, desk }) => server !== undefined && desk.hasRoom,
    act({ desk, agents }, { agent, file, ...options }) {
      const machine = agents[agent];
      const filePath = machine?.files[file]?.path;
      if (machine === undefined || filePath === undefined) return;
      desk.trigger({ clientId: machine.clientId, filePath, ...options });
    },
  },
);

export const operatorCommands: readonly fc.Arbitrary<WorldCommand>[] = [
  command('cancel', drawn, {
    can: ({ server, desk }) => server !== undefined && desk.uploads.some(isUnfinished),
    act({ desk }, drawn) {
      const upload = pick(desk.uploads.filter(isUnfinished), drawn);
      if (upload !== undefined) desk.cancel(upload);
    },
  }),
  command('cancel a completing one', drawn, {
    can: ({ server, desk }) => server !== undefined && desk.uploads.some(isCompleting),
    act({ desk }, drawn) {
      const upload = pick(desk.uploads.filter(isCompleting), drawn);
      if (upload !== undefined) desk.cancel(upload);
    },
  }),
  command('retry', drawn, {
    can: hasEnded,
    act({ desk }, drawn) {
      const upload = pick(
        desk.uploads.filter(({ status }) => isTerminal(status)),
        drawn,
      );
      if (upload !== undefined) desk.retry(upload);
    },
  }),
  command('remove', fc.tuple(drawn, fc.boolean()), {
    can: hasEnded,
    act({ desk }, [drawn, withObject]) {
      const upload = pick(
        desk.uploads.filter(({ status }) => isTerminal(status)),
        drawn,
      );
      if (upload !== undefined) desk.remove(upload, { withObject });
    },
  }),
];

function isUnfinished({ status }: Upload): boolean {
  return !isTerminal(status);
}

function isCompleting({ status }: Upload): boolean {
  return status === 'completing';
}

function hasEnded({ server, desk }: World): boolean {
  return server !== undefined && desk.uploads.some(({ status }) => isTerminal(status));
}
