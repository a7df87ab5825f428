import assert from 'node:assert/strict';
import { type AgentMessage, fileNameOf, isTerminal } from '@backhaul/protocol';
import fc from 'fast-check';
import type { Upload } from '../../../packages/server/src/domain/uploads/upload.ts';
import type { Connection } from '../connection.ts';
import type { Fact } from '../coverage.ts';
import type { Simulation } from '../simulation.ts';
import { type SimulationCommand, command, pick } from './command.ts';

/** Messages that come too late or from the wrong sender change nothing. */
export const lateFrameCommands: readonly fc.Arbitrary<SimulationCommand>[] = [
  late('deliver of an older session', 'frame of an older session delivered', (simulation, connection) => {
    const { session, clientId } = connection;
    const newest = simulation.server?.domain.transfers.sessions.get(clientId);
    if (session === undefined || newest === undefined || newest.epoch <= session.epoch) return [];
    // A second machine with the same client_id may send anything.
    return [
      ...connection.sent,
      ...uploadsOf(simulation, clientId).flatMap((row) => falseMessages(row, row.attempt)),
    ];
  }),
  late('deliver of an older attempt', 'frame of an older attempt delivered', (simulation, connection) => {
    if (connection.session === undefined || !connection.isOpenAtServer) return [];
    const uploads = uploadsOf(simulation, connection.clientId).filter(({ attempt }) => attempt > 1);
    const attempts = new Map(uploads.map(({ uploadId, attempt }) => [uploadId, attempt]));
    const sent = connection.sent.filter(
      (message) =>
        message.status !== 'error' &&
        'attempt' in message &&
        message.attempt < (attempts.get(message.upload_id) ?? 0),
    );
    return [...sent, ...uploads.flatMap((row) => falseMessages(row, row.attempt - 1))];
  }),
];

/** Delivers a frame that must change nothing. */
function late(
  name: string,
  fact: Fact,
  framesOf: (simulation: Simulation, connection: Connection) => readonly AgentMessage[],
): fc.Arbitrary<SimulationCommand> {
  const frames = (simulation: Simulation) =>
    simulation.connections.flatMap((connection) =>
      framesOf(simulation, connection).flatMap((message) =>
        message.status === 'hello' ? [] : [{ connection, message }],
      ),
    );
  return command(name, fc.nat(100), {
    can: (simulation) => simulation.server !== undefined && frames(simulation).length > 0,
    async act(simulation, drawn) {
      await simulation.idle();
      const frame = pick(frames(simulation), drawn);
      if (frame?.connection.session === undefined || simulation.server === undefined) return;
      const before = structuredClone(simulation.checker.rows);
      const parts = await partsOf(simulation);
      let isHandled = false;
      void simulation.server.handle(frame.connection.session, frame.message).then(
        () => {
          isHandled = true;
        },
        (error: unknown) => simulation.checker.report(`${frame.message.status} came late: ${String(error)}`),
      );
      await simulation.idle();
      assert.deepEqual(
        simulation.checker.rows,
        before,
        `${frame.message.status} came late and changed a row`,
      );
      assert.deepEqual(
        await partsOf(simulation),
        parts,
        `${frame.message.status} came late and changed parts`,
      );
      // It may still be waiting for its turn, or have crashed the server.
      if (isHandled) simulation.coverage.count(fact);
    },
  });
}

async function partsOf({ store, checker }: Simulation) {
  return Promise.all([...checker.rows.keys()].map((uploadId) => store.listParts(uploadId)));
}

function uploadsOf({ operators }: Simulation, clientId: string): Upload[] {
  return operators.uploads.filter((row) => row.clientId === clientId && !isTerminal(row.status));
}

/** Messages that would change an upload if they were accepted. */
function falseMessages(
  { uploadId, filePath, sizeBytes, partCount }: Upload,
  attempt: number,
): AgentMessage[] {
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
