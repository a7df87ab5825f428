import assert from 'node:assert/strict';
import { type AgentMessage, fileNameOf, isTerminal } from '@backhaul/protocol';
import fc from 'fast-check';
import type { Upload } from '../../uploads/upload.ts';
import type { Connection } from '../connection.ts';
import type { Fact } from '../tally.ts';
import type { World } from '../world.ts';
import { type WorldCommand, command, pick } from './command.ts';

/** What is said too late, or by whom it is no business any more, changes nothing. */
export const lateFrameCommands: readonly fc.Arbitrary<WorldCommand>[] = [
  late('deliver of an older session', 'frame of an older session delivered', (world, connection) => {
    const { session, clientId } = connection;
    const newest = world.server?.domain.transfers.sessions.get(clientId);
    if (session === undefined || newest === undefined || newest.epoch <= session.epoch) return [];
    // A second machine of the same name may say anything.
    return [...connection.sent, ...uploadsOf(world, clientId).flatMap((row) => falseWords(row, row.attempt))];
  }),
  late('deliver of an older attempt', 'frame of an older attempt delivered', (world, connection) => {
    if (connection.session === undefined || !connection.isOpenAtServer) return [];
    const uploads = uploadsOf(world, connection.clientId).filter(({ attempt }) => attempt > 1);
    const attempts = new Map(uploads.map(({ uploadId, attempt }) => [uploadId, attempt]));
    const sent = connection.sent.filter(
      (message) =>
        message.status !== 'error' &&
        'attempt' in message &&
        message.attempt < (attempts.get(message.upload_id) ?? 0),
    );
    return [...sent, ...uploads.flatMap((row) => falseWords(row, row.attempt - 1))];
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

function uploadsOf({ desk }: World, clientId: string): Upload[] {
  return desk.uploads.filter((row) => row.clientId === clientId && !isTerminal(row.status));
}

/** What would change an upload, if it were believed. */
function falseWords({ uploadId, filePath, sizeBytes, partCount }: Upload, attempt: number): AgentMessage[] {
  const about = { upload_id: uploadId, attempt };
  const parts = Array.from({ length: partCount ?? 1 }, (_, index) => ({
    part_number: index + 1,
    etag: '"false"',
  }));
  const size = sizeBytes ?? 0;
  return [
    { status: 'failed', ...about, error: 'read_failed', message: 'It did not work.' },
    { status: 'stalled', ...about, reason: 'Nothing works.', retry_in_ms: 1000 },
    { status: 'part_uploaded', ...about, parts, retries: 9 },
    {
      status: 'completed',
      ...about,
      file_name: fileNameOf(filePath),
      size,
      parts,
      upload_duration_ms: 1,
      sha256: null,
    },
  ];
}
