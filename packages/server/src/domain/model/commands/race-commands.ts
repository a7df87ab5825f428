import fc from 'fast-check';
import type { Connection } from '../connection.ts';
import { turns } from '../turns.ts';
import type { World } from '../world.ts';
import { type WorldCommand, command, drawn, someAgent } from './command.ts';

/** What has to come at the very same time, and by chance alone hardly ever does. */
export const raceCommands: readonly fc.Arbitrary<WorldCommand>[] = [
  command('cancel as it is reported complete', drawn, {
    can: (world) => reporting(world) !== undefined,
    async act(world, drawn) {
      const connection = reporting(world);
      const message = connection?.toServer[0];
      if (connection === undefined || message?.status !== 'completed') return;
      const upload = world.witness.rows.get(message.upload_id);
      connection.deliver();
      await turns(drawn % 3);
      if (upload !== undefined) world.desk.cancel(upload);
    },
  }),
  command('replace the session as an upload is handed over', fc.tuple(someAgent, drawn), {
    can: ({ agents, server, desk }, [agent]) =>
      server !== undefined && agents[agent]?.socket?.session !== undefined && desk.hasRoom,
    async act(world, [agent, drawn]) {
      const machine = world.agents[agent];
      const filePath = machine?.files[0]?.path;
      if (machine === undefined || filePath === undefined) return;
      world.desk.trigger({
        clientId: machine.clientId,
        filePath,
        onChange: 'fail',
        expiresInMs: undefined,
        force: true,
      });
      await turns(drawn);
      machine.socket?.cut({ loseFrames: false });
      world.connect(machine);
      machine.socket?.deliver();
    },
  }),
];

/** One whose next frame says that all parts are sent. */
function reporting({ connections }: World): Connection | undefined {
  return connections.find(({ canDeliver, toServer }) => canDeliver && toServer[0]?.status === 'completed');
}
