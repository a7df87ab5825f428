import { once } from 'node:events';
import http, { type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { crc32 } from 'node:zlib';
import { crc32Base64 } from '../../packages/agent/src/file/checksums.ts';

export interface ReceivedPut {
  readonly partNumber: number;
  /** Number of the PUT of this part, from 1. */
  readonly try: number;
  readonly method: string;
  readonly path: string;
  readonly headers: http.IncomingHttpHeaders;
  readonly socket: Socket;
  /** Received body; empty until it is complete. */
  body: Buffer;
}

/** Returns true if it sends the response itself; otherwise the store reads the body and responds with 200. */
export type Fault = (
  put: ReceivedPut,
  request: IncomingMessage,
  response: ServerResponse,
) => boolean | Promise<boolean>;

/** Receives presigned PUTs like an object store, with scripted faults. */
export class FakeStore {
  readonly origin: string;
  readonly puts: ReceivedPut[] = [];
  /** Stored parts: the last complete PUT of each. */
  readonly stored = new Map<number, Buffer>();
  fault: Fault = () => false;
  readonly #server: http.Server;

  private constructor(server: http.Server) {
    this.#server = server;
    this.origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  static async start(): Promise<FakeStore> {
    const server = http.createServer();
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const store = new FakeStore(server);
    server.on('request', (request, response) => void store.#receive(request, response));
    return store;
  }

  url(partNumber: number): string {
    return `${this.origin}/bucket/key?partNumber=${partNumber}&X-Amz-Signature=secret-signature`;
  }

  putsOf(partNumber: number): ReceivedPut[] {
    return this.puts.filter((put) => put.partNumber === partNumber);
  }

  /** All stored parts, concatenated. */
  object(): Buffer {
    const numbers = [...this.stored.keys()].sort((a, b) => a - b);
    return Buffer.concat(numbers.map((number) => this.stored.get(number) ?? Buffer.alloc(0)));
  }

  closeConnections(): void {
    this.#server.closeAllConnections();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, 'close');
  }

  async #receive(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', this.origin);
    const partNumber = Number(url.searchParams.get('partNumber'));
    const put: ReceivedPut = {
      partNumber,
      try: this.putsOf(partNumber).length + 1,
      method: request.method ?? '',
      path: url.pathname,
      headers: request.headers,
      socket: request.socket,
      body: Buffer.alloc(0),
    };
    this.puts.push(put);
    request.on('error', () => {});
    if (await this.fault(put, request, response)) return;
    const body = await readAll(request);
    if (body === null) return;
    put.body = body;
    const announced = request.headers['x-amz-checksum-crc32'];
    if (announced !== undefined && announced !== crc32Base64(crc32(body))) {
      return sendError(response, 400, 'BadDigest');
    }
    this.stored.set(partNumber, body);
    response.writeHead(200, { etag: `"etag-${partNumber}"` }).end();
  }
}

/** Reads the body; null if the connection broke. */
export async function readAll(request: IncomingMessage): Promise<Buffer | null> {
  const chunks: Buffer[] = [];
  try {
    for await (const chunk of request) chunks.push(chunk as Buffer);
  } catch {
    return null;
  }
  return Buffer.concat(chunks);
}

/** Sends an S3 error document. */
export function sendError(response: ServerResponse, status: number, code: string, message = ''): void {
  const body = `<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>${code}</Code><Message>${message}</Message></Error>`;
  response.writeHead(status, { 'content-type': 'application/xml' }).end(body);
}

/** Reads the body first, like S3, then sends the error. */
export async function refuse(
  request: IncomingMessage,
  response: ServerResponse,
  status: number,
  code: string,
  message = '',
): Promise<true> {
  await readAll(request);
  sendError(response, status, code, message);
  return true;
}
