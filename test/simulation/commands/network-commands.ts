import fc from 'fast-check';
import type { Connection } from '../connection.ts';
import type { Simulation } from '../simulation.ts';
import { runEvents } from '../simulation-events.ts';
import { type SimulationCommand, command, someAgent } from './command.ts';

/** Frames, responses and bodies arrive, agents work. */
export const flow: fc.Arbitrary<SimulationCommand> = command(
  'run events',
  fc.oneof({ weight: 3, arbitrary: fc.integer({ min: 1, max: 12 }) }, fc.integer({ min: 20, max: 50 })),
  { act: runEvents },
);

/** Events of network connections. */
export const networkCommands: readonly fc.Arbitrary<SimulationCommand>[] = [
  command('lose the socket', fc.record({ agent: someAgent, loseFrames: fc.boolean() }), {
    can: ({ agents }, { agent }) => agents[agent]?.socket !== undefined,
    act({ agents, coverage }, { agent, loseFrames }) {
      const machine = agents[agent];
      if ((machine?.activeTransfers.length ?? 0) > 0) coverage.count('socket lost during an attempt');
      machine?.socket?.cut({ loseFrames });
    },
  }),
  command('connect', fc.nat(1), {
    can: ({ agents, server }, agent) => server !== undefined && agents[agent]?.socket === undefined,
    act(simulation, agent) {
      const machine = simulation.agents[agent];
      if (machine !== undefined) simulation.connect(machine);
    },
  }),
  command('deliver twice', someAgent, {
    can: (simulation, agent) => readyConnection(simulation, agent) !== undefined,
    act(simulation, agent) {
      const connection = readyConnection(simulation, agent);
      const message = connection?.toServer[0];
      if (connection === undefined || message === undefined) return;
      connection.deliver();
      connection.handle(message);
      simulation.coverage.count('frame delivered twice');
    },
  }),
];

function readyConnection({ connections, agents }: Simulation, agent: number): Connection | undefined {
  return connections.find(
    (connection) =>
      connection.clientId === agents[agent]?.clientId &&
      connection.canDeliver &&
      connection.session !== undefined,
  );
}
