import { randomBytes } from 'node:crypto';
import { EventEmitter, once } from 'node:events';
import { mkdtemp, realpath, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { noProxies } from '@backhaul/program';
import type {
  ChangePolicy,
  PartAnnouncement,
  ResumeState,
  ServerMessageInput,
  UploadLimits,
} from '@backhaul/protocol';
import { AgentApp } from '../../../packages/agent/src/app.ts';
import type { AgentConfig } from '../../../packages/agent/src/config.ts';
import { createLog } from '../../../packages/agent/src/log.ts';
import type { TransferTimings } from '../../../packages/agent/src/transfer/transfer-deps.ts';
import { FakeServer, type FakeSession, type MessageOf } from '../../doubles/fake-server.ts';
import { FakeStore } from '../../doubles/fake-store.ts';
import { uuidv7 } from './uuid.ts';

export const MiB = 1024 * 1024;

interface FixtureOptions {
  readonly config?: Partial<AgentConfig>;
  readonly timings?: Partial<TransferTimings>;
  readonly fileTimeoutMs?: number;
}

/** Timings that are short enough for tests. */
const quickTimings: Partial<TransferTimings> = {
  backoff: { baseMs: 5, capMs: 20 },
  unavailableAfterMs: 0,
  urlCheckMs: 20,
  reportMs: 20,
};

/** A running agent with a fake server, a fake store and an allowed directory of its own. */
export class AgentFixture {
  readonly directory: string;
  readonly server: FakeServer;
  readonly store: FakeStore;
  readonly app: AgentApp;
  /** All lines of the agent's log. */
  readonly log: string[];
  readonly #lines: EventEmitter;

  private constructor(
    parts: Pick<AgentFixture, 'directory' | 'server' | 'store' | 'app' | 'log'> & { lines: EventEmitter },
  ) {
    this.directory = parts.directory;
    this.server = parts.server;
    this.store = parts.store;
    this.app = parts.app;
    this.log = parts.log;
    this.#lines = parts.lines;
  }

  static async start({
    config = {},
    timings = {},
    fileTimeoutMs = 30_000,
  }: FixtureOptions = {}): Promise<AgentFixture> {
    const directory = await realpath(await mkdtemp(join(tmpdir(), 'backhaul-agent-')));
    const server = await FakeServer.start();
    const store = await FakeStore.start();
    const log: string[] = [];
    const lines = new EventEmitter();
    const write = (line: string) => {
      log.push(line);
      lines.emit('line');
    };
    const app = new AgentApp(
      {
        clientId: 'restaurant-1',
        serverUrl: new URL(server.url),
        token: { kind: 'given', token: 'agent-token' },
        files: [],
        allow: [directory],
        allowHardLinks: false,
        stateDirectory: null,
        credentialsDirectory: null,
        caFiles: [],
        clientCertificate: null,
        storageOrigins: [],
        maxUploads: 2,
        parallelParts: 4,
        maxRate: null,
        maxFileSize: null,
        sha256: true,
        labels: {},
        logLevel: 'debug',
        logFormat: 'json',
        logToJournal: false,
        proxies: noProxies,
        poolThreads: 4,
        ...config,
      },
      {
        log: createLog({ level: 'debug', format: 'json', write }),
        fileTimeoutMs,
        transferTimings: { ...quickTimings, ...timings },
        reconnectTimings: { backoff: { baseMs: 10, capMs: 50 }, slowMs: 50 },
      },
    );
    await app.start();
    return new AgentFixture({ directory, server, store, app, log, lines });
  }

  /** Waits for the first log line that contains `text`. */
  async logged(text: string): Promise<string> {
    for (;;) {
      const line = this.log.find((each) => each.includes(text));
      if (line !== undefined) return line;
      await once(this.#lines, 'line');
    }
  }

  async file(name: string, size: number): Promise<{ path: string; content: Buffer }> {
    const content = randomBytes(size);
    const path = join(this.directory, name);
    await writeFile(path, content);
    return { path, content };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.app.close();
    await this.server[Symbol.asyncDispose]();
    await this.store[Symbol.asyncDispose]();
    await rm(this.directory, { recursive: true, force: true });
  }
}

export interface UploadOptions {
  readonly uploadId?: string;
  readonly attempt?: number;
  readonly windowSize?: number;
  readonly minChunkSize?: number;
  readonly checksumMode?: 'crc32' | 'sha256' | 'md5' | 'none';
  readonly maxFileSize?: number;
  readonly expiresInMs?: number;
  readonly onChange?: ChangePolicy;
  readonly resume?: ResumeState;
  readonly limits?: UploadLimits;
}

export function prepareMessage(
  path: string,
  options: UploadOptions = {},
): Extract<ServerMessageInput, { action: 'prepare_upload' }> {
  return {
    action: 'prepare_upload',
    upload_id: options.uploadId ?? uuidv7(),
    attempt: options.attempt ?? 1,
    file_path: path,
    plan: {
      min_chunk_size: options.minChunkSize ?? 5 * MiB,
      max_parts: 10_000,
      window_size: options.windowSize ?? 64,
      ...(options.maxFileSize === undefined ? {} : { max_file_size: options.maxFileSize }),
    },
    checksum_mode: options.checksumMode ?? 'crc32',
    ...(options.onChange === undefined ? {} : { on_change: options.onChange }),
    ...(options.resume === undefined ? {} : { resume: options.resume }),
    ...(options.limits === undefined ? {} : { limits: options.limits }),
    expires_in_ms: options.expiresInMs ?? 60_000,
  };
}

export function urlWindow(store: FakeStore, parts: readonly PartAnnouncement[], lifeMs = 900_000) {
  return {
    presigned_urls: parts.map(({ part_number, crc32 }) => ({
      part_number,
      url: store.url(part_number),
      headers: { 'x-amz-checksum-crc32': crc32 },
    })),
    expires_at: new Date(Date.now() + lifeMs).toISOString(),
    expires_in_ms: lifeMs,
  };
}

export function downloadMessage(
  path: string,
  prepared: MessageOf<'prepared'>,
  store: FakeStore,
  lifeMs?: number,
): Extract<ServerMessageInput, { action: 'download_file' }> {
  return {
    action: 'download_file',
    file_path: path,
    upload_config: {
      upload_id: prepared.upload_id,
      attempt: prepared.attempt,
      bucket: 'bucket',
      key: 'key',
      chunk_size: prepared.chunk_size,
      part_count: prepared.part_count,
      ...urlWindow(store, prepared.parts, lifeMs),
    },
  };
}

/** Responds to all requests for URLs until the session ends. */
export function signOnRequest(session: FakeSession, store: FakeStore, lifeMs?: number): void {
  session.socket.on('message', (data) => {
    const message = JSON.parse((data as Buffer).toString('utf8')) as {
      status: string;
    } & MessageOf<'parts_ready'>;
    if (message.status !== 'parts_ready') return;
    const { upload_id, attempt, parts } = message;
    session.send({ action: 'part_urls', upload_id, attempt, ...urlWindow(store, parts, lifeMs) });
  });
}

/** Runs an upload from `prepare_upload` to `completed` or `failed`. */
export async function runUpload(
  session: FakeSession,
  store: FakeStore,
  path: string,
  options: UploadOptions & { readonly lifeMs?: number } = {},
): Promise<MessageOf<'completed' | 'failed'>> {
  signOnRequest(session, store, options.lifeMs);
  session.send(prepareMessage(path, options));
  const message = await session.next('prepared', 'failed');
  if (message.status === 'failed') return message;
  session.send(downloadMessage(path, message, store, options.lifeMs));
  return session.next('completed', 'failed');
}
