import assert from 'node:assert/strict';
import fc from 'fast-check';
import type { AgentMessage } from '@backhaul/protocol';
import type { Connection } from '../connection.ts';
import type { Fact } from '../tally.ts';
import type { World } from '../world.ts';
import { letHappen } from '../world-events.ts';
import { type WorldCommand, command, pick, someAgent } from './command.ts';

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
  late('deliver of an older session', 'frame of an older session delivered', (world, connection) => {
    const { session } = connection;
    const newest = session && world.server?.domain.transfers.sessions.get(connection.clientId);
    return newest !== undefined && newest.epoch > (session?.epoch ?? 0) ? connection.sent : [];
  }),
  late('deliver of an older attempt', 'frame of an older attempt delivered', (world, connection) => {
    if (connection.session === undefined || !connection.isOpenAtServer) return [];
    return connection.sent.filter(
      (message) =>
        'attempt' in message && message.attempt < (world.witness.rows.get(message.upload_id)?.attempt ?? 0),
    );
  }),
];

/** A frame that must change nothing. */
function late(
  name: string,
  fact: Fact,
  framesOf: (world: World, connection: Connection) => readonly AgentMessage[],
): fc.Arbitrary<WorldCommand> {
  const frames = (world: World) =>
    world.connections.flatMap((connection) =>
      framesOf(world, connection).flatMap((message) =>
        message.status === 'hello' ? [] : [{ connection, message }],
      ),
    );
  return command(name, fc.nat(100), {
    can: (world) => world.server !== undefined && frames(world).length > 0,
    async act(world, drawn) {
      await world.settle();
      const frame = pick(frames(world), drawn);
      if (frame?.connection.session === undefined || world.server === undefined) return;
      const before = structuredClone(world.witness.rows);
      const parts = await partsOf(world);
      let isHandled = false;
      void world.server.handle(frame.connection.session, frame.message).then(
        () => {
          isHandled = true;
        },
        (error: unknown) => world.witness.object(`${frame.message.status} came late: ${String(error)}`),
      );
      await world.settle();
      assert.deepEqual(
        world.witness.rows,
        before,
        `${frame.message.status} came late, and changed something`,
      );
      assert.deepEqual(await partsOf(world), parts, `${frame.message.status} came late, and changed parts`);
      // It may have to wait for its turn, or the server has died of it.
      if (isHandled) world.tally.count(fact);
    },
  });
}

async function partsOf({ store, witness }: World) {
  return Promise.all([...witness.rows.keys()].map((uploadId) => store.listParts(uploadId)));
}

function readyConnection({ connections, agents }: World, agent: number): Connection | undefined {
  return connections.find(
    (connection) =>
      connection.clientId === agents[agent]?.clientId &&
      connection.canDeliver &&
      connection.session !== undefined,
  );
}
