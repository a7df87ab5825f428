import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { before, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { type AgentMessage, decodeAgentMessage, partRange } from '@backhaul/protocol';
import { type WebSocket, WebSocketServer } from 'ws';
import { Program } from '../harness/program.ts';
import { randomFile } from '../harness/random-file.ts';
import { temporaryDirectory } from '../harness/temporary-directory.ts';

const MiB = 1024 * 1024;
const CHUNK = 5 * MiB;
const LAST_PART = 12;
const FILE_BYTES = LAST_PART * CHUNK;
const UPLOAD = { upload_id: '019ab3c2-5f00-7000-8000-000000000001', attempt: 1 };
const COMMANDS = Number(process.env['HOSTILE_COMMANDS'] ?? 100_000);
/** Documented limit of the published agent. */
const MAX_RSS_BYTES = 160 * MiB;
const buildScript = fileURLToPath(new URL('../../tools/build.ts', import.meta.url));
/** No message of the flood is about the running upload. */
const FIRST_ID = 0x1000;
const COMPLETION_DEADLINE_MS = 120_000;
const MAX_LOG_BYTES_A_MINUTE = MiB;

type MessageOf<Status extends AgentMessage['status']> = Extract<AgentMessage, { status: Status }>;

const floods: readonly { what: string; frames: (turn: number) => string; count: number }[] = [
  {
    what: 'commands',
    count: COMMANDS,
    frames: (turn) => JSON.stringify({ action: 'health_check', command_id: idOf(turn) }),
  },
  {
    what: 'errors and cancels of unknown uploads',
    count: 100_000,
    frames: (turn) =>
      JSON.stringify(
        turn % 2 === 0
          ? { action: 'error', code: 'x', message: 'x'.repeat(500), upload_id: idOf(turn), attempt: 1 }
          : { action: 'cancel_upload', upload_id: idOf(turn), attempt: 1, reason: 'x'.repeat(500) },
      ),
  },
  { what: 'megabytes of nested lists', count: 500, frames: () => '['.repeat(1_000_000) },
];

before(() => {
  execFileSync(process.execPath, [buildScript]);
});

for (const { what, frames, count } of floods) {
  test(`a server that floods its agent with ${what} fills neither its log nor its memory, and the upload completes`, async (t) => {
    await using server = await HostileServer.start();
    await using directory = await temporaryDirectory();
    const file = directory.join('large.bin');
    await randomFile(file, FILE_BYTES);
    const started = performance.now();
    await using agent = new Program('backhaul-agent', {
      args: [
        '--client-id',
        'till',
        '--server-url',
        server.url,
        '--file',
        file,
        '--log-format',
        'json',
        '--max-rate',
        String(4 * MiB),
        '--allow-storage',
        server.url.replace('ws', 'http'),
      ],
      env: { BACKHAUL_TOKEN: 'token' },
      compiled: true,
    });
    await server.startUpload(file);
    const sent = await server.flood(frames, count);
    server.signLastPart();
    await Promise.race([
      server.completed,
      sleep(COMPLETION_DEADLINE_MS, undefined, { ref: false }).then(() => assert.fail('no completed came')),
    ]);
    const minutes = Math.max(1, (performance.now() - started) / 60_000);
    const logBytes = agent.output.stderr.length;
    const status = await readFile(`/proc/${agent.pid}/status`, 'utf8');
    const peak = Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1]) * 1024;
    t.diagnostic(`${sent} frames, ${server.answers} answers, ${server.connections} connections`);
    t.diagnostic(
      `${logBytes} bytes of log in ${minutes.toFixed(1)} min, at most ${Math.round(peak / MiB)} MiB`,
    );
    assert.equal(sent, count);
    assert.ok(logBytes <= MAX_LOG_BYTES_A_MINUTE * minutes, `${logBytes} bytes of log`);
    assert.ok(peak <= MAX_RSS_BYTES, `${Math.round(peak / MiB)} MiB`);
  });
}

function idOf(turn: number): string {
  return `019ab3c2-5f00-7000-8000-${(turn + FIRST_ID).toString(16).padStart(12, '0')}`;
}

/** A combined server and store that wants one upload and sends the given messages during it. */
class HostileServer implements AsyncDisposable {
  readonly url: string;
  readonly #http: ReturnType<typeof createServer>;
  readonly #sockets: WebSocketServer;
  readonly #completed = Promise.withResolvers<void>();
  readonly #uploading = Promise.withResolvers<void>();
  readonly #welcomed = Promise.withResolvers<WebSocket>();
  #current: WebSocket | null = null;
  #file = '';
  #signsLastPart = false;
  answers = 0;
  connections = 0;

  private constructor(http: ReturnType<typeof createServer>) {
    this.#http = http;
    this.url = `ws://127.0.0.1:${(http.address() as AddressInfo).port}`;
    http.on('request', (request, response) => void this.#store(request, response));
    this.#sockets = new WebSocketServer({
      server: http,
      path: '/ws/connect',
      handleProtocols: () => 'backhaul.v1',
    });
    this.#sockets.on('connection', (socket) => {
      this.connections += 1;
      socket.on('error', () => {});
      socket.on('message', (data) => this.#heard(socket, (data as Buffer).toString()));
    });
  }

  static async start(): Promise<HostileServer> {
    const http = createServer();
    http.listen(0, '127.0.0.1');
    await once(http, 'listening');
    return new HostileServer(http);
  }

  /** Resolves when the agent has sent `completed`. */
  get completed(): Promise<void> {
    return this.#completed.promise;
  }

  /** Lets the upload end: it has to run during the whole flood. */
  signLastPart(): void {
    this.#signsLastPart = true;
    if (this.#current !== null) this.#sign(this.#current, [LAST_PART]);
  }

  /** Starts an upload and waits until its first part is stored. */
  async startUpload(file: string): Promise<void> {
    this.#file = file;
    const socket = await this.#welcomed.promise;
    const plan = { min_chunk_size: CHUNK, max_parts: 10_000, window_size: 64 };
    const request = { action: 'prepare_upload', ...UPLOAD, file_path: file, plan, checksum_mode: 'crc32' };
    socket.send(JSON.stringify({ ...request, expires_in_ms: 600_000 }));
    await this.#uploading.promise;
  }

  /** Sends as fast as the agent reads, over all connections it opens. @returns the number of connections. */
  async flood(frame: (turn: number) => string, count: number): Promise<number> {
    let sent = 0;
    while (sent < count) {
      const socket = this.#current;
      if (socket === null || socket.readyState !== socket.OPEN || socket.bufferedAmount > 8_000_000) {
        await sleep(5);
        continue;
      }
      socket.send(frame(sent));
      sent += 1;
      if (sent % 256 === 0) await sleep(0);
    }
    return sent;
  }

  #heard(socket: WebSocket, frame: string): void {
    const decoded = decodeAgentMessage(frame);
    if (!decoded.ok) return;
    const { message } = decoded;
    if (message.status === 'hello') this.#welcome(socket, message);
    else if (message.status === 'prepared') this.#download(socket, message);
    else if (message.status === 'parts_ready') {
      this.#sign(
        socket,
        message.parts.map(({ part_number: number }) => number),
      );
    } else if (message.status === 'completed') this.#completed.resolve();
    else if (message.status === 'result' || message.status === 'error') this.answers += 1;
    else if (message.status === 'failed') this.#completed.reject(new Error(JSON.stringify(message)));
  }

  #welcome(socket: WebSocket, { running }: MessageOf<'hello'>): void {
    const uploads = running.map((upload) => ({ ...upload, verdict: 'continue' }));
    const session = { session_id: idOf(1), epoch: 1, heartbeat_interval_ms: 20_000, dead_after_ms: 45_000 };
    socket.send(JSON.stringify({ action: 'welcome', server_version: '0', ...session, uploads }));
    this.#current = socket;
    this.#welcomed.resolve(socket);
  }

  #download(socket: WebSocket, { chunk_size, part_count, parts }: MessageOf<'prepared'>): void {
    const place = { bucket: 'b', key: 'k', chunk_size, part_count };
    const urls = parts
      .map(({ part_number: number }) => number)
      .filter((number) => number < LAST_PART)
      .map((number) => this.#urlOf(number));
    const config = { kind: 'multipart', ...UPLOAD, ...place, ...this.#window(urls) };
    socket.send(JSON.stringify({ action: 'download_file', file_path: this.#file, upload_config: config }));
  }

  #sign(socket: WebSocket, parts: readonly number[]): void {
    const urls = parts
      .filter((part) => part < LAST_PART || this.#signsLastPart)
      .map((part) => this.#urlOf(part));
    if (urls.length > 0)
      socket.send(JSON.stringify({ action: 'part_urls', ...UPLOAD, ...this.#window(urls) }));
  }

  #urlOf(part_number: number): object {
    const { length } = partRange(
      { sizeBytes: FILE_BYTES, chunkSize: CHUNK, partCount: LAST_PART },
      part_number,
    );
    assert.ok(length > 0);
    return { part_number, url: `${this.url.replace('ws', 'http')}/part/${part_number}`, headers: {} };
  }

  #window(presigned_urls: object[]): object {
    return { presigned_urls, expires_at: '2030-01-01T00:00:00Z', expires_in_ms: 600_000 };
  }

  async #store(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      for await (const _ of request);
    } catch {
      return; // The agent will send it again.
    }
    response.writeHead(200, { etag: '"etag"' }).end();
    this.#uploading.resolve();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const client of this.#sockets.clients) client.terminate();
    this.#sockets.close();
    this.#http.closeAllConnections();
    this.#http.close();
    await once(this.#http, 'close');
  }
}
