import fc from 'fast-check';
import type { Connection } from '../connection.ts';
import type { World } from '../world.ts';
import { letHappen } from '../world-events.ts';
import { type WorldCommand, command, someAgent } from './command.ts';

/** Frames, answers and bodies arrive, agents work. */
export const flow: fc.Arbitrary<WorldCommand> = command(
  'let happen',
  fc.oneof({ weight: 3, arbitrary: fc.integer({ min: 1, max: 12 }) }, fc.integer({ min: 20, max: 50 })),
  { act: letHappen },
);

/** What lines and sockets do. */
export const networkCommands: readonly fc.Arbitrary<WorldCommand>[] = [
  command('lose the socket', fc.record({ agent: someAgent, loseFrames: fc.boolean() }), {
    can: ({ agents }, { agent }) => agents[agent]?.socket !== undefined,
    act({ agents, tally }, { agent, loseFrames }) {
      const machine = agents[agent];
      if ((machine?.activeTransfers.length ?? 0) > 0) tally.count('socket lost during an attempt');
      machine?.socket?.cut({ loseFrames });
    },
  }),
  command('connect', fc.nat(1), {
    can: ({ agents, server }, agent) => server !== undefined && agents[agent]?.socket === undefined,
    act(world, agent) {
      const machine = world.agents[agent];
      if (machine !== undefined) world.connect(machine);
    },
  }),
  command('deliver twice', someAgent, {
    can: (world, agent) => readyConnection(world, agent) !== undefined,
    act(world, agent) {
      const connection = readyConnection(world, agent);
      const message = connection?.toServer[0];
      if (connection === undefined || message === undefined) return;
      connection.deliver();
      connection.handle(message);
      world.tally.count('frame delivered twice');
    },
  }),
];

function readyConnection({ connections, agents }: World, agent: number): Connection | undefined {
  return connections.find(
    (connection) =>
      connection.clientId === agents[agent]?.clientId &&
      connection.canDeliver &&
      connection.session !== undefined,
  );
}
