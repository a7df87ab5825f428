import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { Readable } from 'node:stream';
import { keyStream, sha256OfKeyStream } from '../../../harness/key-stream.ts';

/** How a store, or a proxy in front of it, closes its connections. */
export type Closing =
  /** After each response, with `Connection: close`, like versitygw. */
  | 'each'
  /** After some responses, with `Connection: close` in the last, like nginx and AWS. */
  | 'some'
  /** After each response, unannounced: FIN follows the last byte. */
  | 'silent';

const SOME = 2;
const SEED = 'closing store';
const UPLOAD_ID = '019ab3c2-5f00-7000-8000-000000000001';

/**
 * A server and a store in one, with one completed upload. Its bytes are generated on request, so that its size is
 * unlimited.
 */
export class ClosingStore implements AsyncDisposable {
  readonly uploadId = UPLOAD_ID;
  readonly url: string;
  readonly sizeBytes: number;
  readonly sha256: string;
  /** Number of ranges sent to the last byte. */
  answered = 0;
  /** Number of responses that were the last of their connection. */
  closed = 0;
  readonly #server: Server;
  readonly #closing: Closing;
  readonly #answersOf = new WeakMap<Socket, number>();

  private constructor(server: Server, closing: Closing, object: { sizeBytes: number; sha256: string }) {
    this.#server = server;
    this.#closing = closing;
    this.sizeBytes = object.sizeBytes;
    this.sha256 = object.sha256;
    this.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    server.on('request', (request: IncomingMessage, response: ServerResponse) =>
      this.#answer(request, response),
    );
  }

  static async start(closing: Closing, sizeBytes: number): Promise<ClosingStore> {
    const sha256 = await sha256OfKeyStream(SEED, sizeBytes);
    const server = createServer();
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new ClosingStore(server, closing, { sizeBytes, sha256 });
  }

  /** Environment of a command that uses this server. */
  get env(): Record<string, string> {
    return { BACKHAUL_URL: this.url, BACKHAUL_TOKEN: 'operator-token' };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, 'close');
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    const isLast = this.#isLast(request.socket);
    if (isLast && this.#closing === 'silent') response.once('finish', () => request.socket.end());
    else if (isLast) response.setHeader('connection', 'close');
    if (isLast) response.once('finish', () => (this.closed += 1));
    switch (request.url) {
      case `/uploads/${UPLOAD_ID}`:
        return json(response, this.#record());
      case `/uploads/${UPLOAD_ID}/verification`:
        return json(response, this.#verification());
      case `/uploads/${UPLOAD_ID}/content`:
        return void response.writeHead(302, { location: `${this.url}/object` }).end();
      case '/object':
        return this.#send(request, response);
      default:
        return void response.writeHead(404).end();
    }
  }

  #isLast(socket: Socket): boolean {
    const count = (this.#answersOf.get(socket) ?? 0) + 1;
    this.#answersOf.set(socket, count);
    return this.#closing !== 'some' || count === SOME;
  }

  #send({ headers }: IncomingMessage, response: ServerResponse): void {
    const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(headers.range ?? '') ?? [];
    const [start, end] = [Number(first), Number(last) + 1];
    response.writeHead(206, {
      'content-length': end - start,
      'content-range': `bytes ${start}-${end - 1}/${this.sizeBytes}`,
    });
    response.once('finish', () => (this.answered += 1));
    Readable.from(keyStream(SEED, start, end)).pipe(response);
  }

  #record(): object {
    const at = '2025-11-01T10:30:00.000Z';
    return {
      ...{ upload_id: UPLOAD_ID, client_id: 'till', file_path: '/data/a.bin', file_name: 'a.bin' },
      ...{ status: 'completed', attempt: 1, version: 5, size: this.sizeBytes, chunk_size: 5_242_880 },
      ...{ part_count: 1, parts_completed: 1, bytes_uploaded: this.sizeBytes, stalled_since: null },
      ...{ bucket: 'bucket', key: 'key', etag: '"a"', version_id: null, checksum: null, checksum_mode: null },
      ...{
        verification: 'size_only',
        sha256: this.sha256,
        server_side_encryption: null,
        storage_class: null,
      },
      ...{ source_modified_at: null, error: null, message: null, requested_by: 'ops', reason: null },
      ...{ created_at: at, started_at: at, completed_at: at, expires_at: at, upload_duration_ms: 1 },
    };
  }

  #verification(): object {
    const size = String(this.sizeBytes);
    return {
      ...{ upload_id: UPLOAD_ID, verdict: 'intact', verification: 'size_only' },
      checks: [{ name: 'size', ok: true, expected: size, found: size }],
      checked_at: '2025-11-01T10:30:00.000Z',
    };
  }
}

function json(response: ServerResponse, body: object): void {
  response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}
