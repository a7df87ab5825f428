import type {
  Completed,
  Failed,
  Hello,
  PartAnnouncement,
  PartUploaded,
  PartsReady,
  Prepared,
  Progress,
  Resumed,
  ServerMessageInput,
  Stalled,
} from '@backhaul/protocol';
import { partRange, planParts } from '@backhaul/protocol';
import { v7 as uuidv7 } from 'uuid';
import { hello } from '../../packages/server/src/domain/agents/handlers/hello.ts';
import type { AgentSession, SessionToken } from '../../packages/server/src/domain/agents/session.ts';
import type { TransferContext } from '../../packages/server/src/domain/agents/handlers/context.ts';
import { planRule } from '../../packages/server/src/domain/upload-settings.ts';
import { etagOf } from './fake-bucket.ts';

type Frame<Action extends ServerMessageInput['action']> = Extract<ServerMessageInput, { action: Action }>;
type About = { readonly uploadId: string; readonly attempt: number };

const MiB = 1024 * 1024;
/** Three parts of 5, 5 and 2 MiB. */
export const FILE_BYTES = 12 * MiB;

/** With a lifetime long enough for every test. */
export const sampleToken: SessionToken = {
  id: 'token-1',
  issuedAt: 0,
  expiresAt: 4_000_000_000_000,
  isOfPreviousSecret: false,
  claims: { iss: 'backhaul', aud: 'backhaul-agent', sub: 'client-1' },
};

/** The server's side of an agent's connection. */
export class FakeConnection {
  readonly clientId: string;
  readonly sessionId = uuidv7();
  readonly serverVersion = '0.0.0-test';
  readonly nodeId = 'node-1';
  readonly token: SessionToken;
  readonly frames: ServerMessageInput[] = [];
  readonly closes: { readonly code: number; readonly reason: string }[] = [];

  constructor(clientId: string, token: SessionToken = sampleToken) {
    this.clientId = clientId;
    this.token = token;
  }

  send = (message: ServerMessageInput): void => {
    this.frames.push(message);
  };

  close = (code: number, reason: string): void => {
    this.closes.push({ code, reason });
  };

  sent<Action extends ServerMessageInput['action']>(action: Action): Frame<Action>[] {
    return this.frames.filter((frame): frame is Frame<Action> => frame.action === action);
  }
}

/** An agent that has completed its hello. */
export interface FakeAgent {
  readonly connection: FakeConnection;
  readonly session: AgentSession;
}

/** @returns the session undefined, if there is already a newer one. */
export async function sayHello(
  context: TransferContext,
  clientId: string,
  {
    token: shown = sampleToken,
    ...options
  }: Partial<Hello> & { maxUploads?: number; token?: SessionToken } = {},
): Promise<{ connection: FakeConnection; session: AgentSession | undefined }> {
  const connection = new FakeConnection(clientId, shown);
  const { sessionId, serverVersion, nodeId, token } = connection;
  const session = await hello(
    context,
    {
      ...{ clientId, sessionId, serverVersion, nodeId, token },
      // Through the connection, whose methods a test may replace.
      send: (message) => connection.send(message),
      close: (code, reason) => connection.close(code, reason),
    },
    helloMessage(options),
  );
  return { connection, session };
}

function helloMessage({ maxUploads = 4, ...fields }: Partial<Hello> & { maxUploads?: number } = {}): Hello {
  return {
    status: 'hello',
    agent_version: '1.2.3',
    platform: { os: 'linux', arch: 'x64' },
    capabilities: ['health_check', 'list_directory', 'resume'],
    limits: { max_uploads: maxUploads, parallel_parts: 4 },
    labels: { site: 'berlin' },
    default_file_path: null,
    running: [],
    ...fields,
  };
}

/** Four bytes derived from `seed`, base64. */
export function fakeCrc32(seed: number): string {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(Math.imul(seed, 0x9e3779b1) >>> 0);
  return bytes.toString('base64');
}

export function announce(sizeBytes: number, partNumbers?: readonly number[]): PartAnnouncement[] {
  const plan = planParts(sizeBytes, planRule);
  const numbers = partNumbers ?? Array.from({ length: plan.partCount }, (_, index) => index + 1);
  return numbers.map((partNumber) => ({
    part_number: partNumber,
    size: partRange(plan, partNumber).length,
    crc32: fakeCrc32(partNumber),
  }));
}

export function preparedMessage(upload: About, fields: Partial<Prepared> = {}): Prepared {
  const size = fields.size ?? FILE_BYTES;
  const plan = planParts(size, planRule);
  return {
    status: 'prepared',
    upload_id: upload.uploadId,
    attempt: upload.attempt,
    file_name: 'report.bin',
    size,
    chunk_size: plan.chunkSize,
    part_count: plan.partCount,
    fingerprint: { device: '1', inode: '2', size: String(size), mtime_ns: '3', ctime_ns: '4' },
    source_modified_at: '2025-10-31T00:00:00.000Z',
    parts: announce(size),
    ...fields,
  };
}

/** For the file described by {@link preparedMessage}. */
export function resumedMessage(upload: About, fields: Partial<Resumed> = {}): Resumed {
  const { size, fingerprint } = preparedMessage(upload);
  return {
    status: 'resumed',
    upload_id: upload.uploadId,
    attempt: upload.attempt,
    size,
    fingerprint,
    ...fields,
  };
}

export function stalledMessage(upload: About, fields: Partial<Stalled> = {}): Stalled {
  return {
    status: 'stalled',
    upload_id: upload.uploadId,
    attempt: upload.attempt,
    reason: 'The object store does not respond.',
    retry_in_ms: 5000,
    ...fields,
  };
}

export function progressMessage(upload: About, bytes: number): Progress {
  return { status: 'progress', upload_id: upload.uploadId, attempt: upload.attempt, bytes_sent: bytes };
}

export function partsReadyMessage(upload: About, parts: PartAnnouncement[]): PartsReady {
  return { status: 'parts_ready', upload_id: upload.uploadId, attempt: upload.attempt, parts };
}

export function uploadedParts(partNumbers: readonly number[]): PartUploaded['parts'] {
  return partNumbers.map((part_number) => ({
    part_number,
    etag: etagOf(part_number, fakeCrc32(part_number)),
  }));
}

export function partUploadedMessage(
  upload: About,
  partNumbers: readonly number[],
  retries = 0,
): PartUploaded {
  const parts = uploadedParts(partNumbers);
  return { status: 'part_uploaded', upload_id: upload.uploadId, attempt: upload.attempt, parts, retries };
}

export function completedMessage(upload: About, fields: Partial<Completed> = {}): Completed {
  return {
    status: 'completed',
    upload_id: upload.uploadId,
    attempt: upload.attempt,
    file_name: 'report.bin',
    size: FILE_BYTES,
    parts: uploadedParts([1, 2, 3]),
    upload_duration_ms: 1234,
    sha256: null,
    ...fields,
  };
}

export function failedMessage(upload: About, error: string, message = 'It did not work.'): Failed {
  return { status: 'failed', upload_id: upload.uploadId, attempt: upload.attempt, error, message };
}
