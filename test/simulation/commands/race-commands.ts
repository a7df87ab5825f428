import fc from 'fast-check';
import type { Connection } from '../connection.ts';
import { ticks } from '../ticks.ts';
import type { Simulation } from '../simulation.ts';
import { type SimulationCommand, command, drawn, someAgent } from './command.ts';

/** Coincidences that hardly ever happen at random. */
export const raceCommands: readonly fc.Arbitrary<SimulationCommand>[] = [
  command('cancel when completion is reported', drawn, {
    can: (simulation) => reporting(simulation) !== undefined,
    async act(simulation, drawn) {
      const connection = reporting(simulation);
      const message = connection?.toServer[0];
      if (connection === undefined || message?.status !== 'completed') return;
      const upload = simulation.checker.rows.get(message.upload_id);
      connection.deliver();
      await ticks(drawn % 3);
      if (upload !== undefined) simulation.operators.cancel(upload);
    },
  }),
  command('replace the session when an upload is dispatched', fc.tuple(someAgent, drawn), {
    can: ({ agents, server, operators }, [agent]) =>
      server !== undefined && agents[agent]?.socket?.session !== undefined && operators.hasRoom,
    async act(simulation, [agent, drawn]) {
      const machine = simulation.agents[agent];
      const filePath = machine?.files[0]?.path;
      if (machine === undefined || filePath === undefined) return;
      simulation.operators.trigger({
        clientId: machine.clientId,
        filePath,
        onChange: 'fail',
        expiresInMs: undefined,
        force: true,
      });
      await ticks(drawn);
      machine.socket?.cut({ loseFrames: false });
      simulation.connect(machine);
      machine.socket?.deliver();
    },
  }),
];

/** A connection whose next frame reports that all parts are sent. */
function reporting({ connections }: Simulation): Connection | undefined {
  return connections.find(({ canDeliver, toServer }) => canDeliver && toServer[0]?.status === 'completed');
}
