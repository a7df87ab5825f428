import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export interface ObjectFaults {
  /** Number of responses, from the first, that are cut after `cutAfterBytes`. */
  cuts?: number;
  cutAfterBytes?: number;
  /** URLs with a lower number are refused like expired ones. */
  oldestValidUrl?: number;
  /** Status of every response. */
  status?: number;
  /** Number of bytes sent of each response before it hangs. */
  hangAfterBytes?: number | undefined;
}

/** Serves one object at URLs that resemble presigned ones, with Range support, like S3. */
export class FakeObjectStore implements AsyncDisposable {
  readonly ranges: string[] = [];
  readonly authorizations: (string | undefined)[] = [];
  readonly faults: ObjectFaults;
  content: Buffer;
  cutsMade = 0;
  refusals = 0;
  readonly #server: Server;
  readonly #origin: string;
  #urlsMade = 0;

  private constructor(server: Server, content: Buffer, faults: ObjectFaults) {
    this.#server = server;
    this.#origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    this.content = content;
    this.faults = faults;
  }

  static async start(content: Buffer, faults: ObjectFaults = {}): Promise<FakeObjectStore> {
    const server = createServer();
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const store = new FakeObjectStore(server, content, faults);
    server.on('request', (request: IncomingMessage, response: ServerResponse) =>
      store.#respond(request, response),
    );
    return store;
  }

  get urlsMade(): number {
    return this.#urlsMade;
  }

  /** Returns a new URL on each call, like a presigner. */
  presign(): string {
    this.#urlsMade += 1;
    return `${this.#origin}/key?X-Amz-Signature=${this.#urlsMade}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, 'close');
  }

  #respond(request: IncomingMessage, response: ServerResponse): void {
    this.authorizations.push(request.headers.authorization);
    const { cuts = 0, cutAfterBytes = 0, oldestValidUrl = 0, status, hangAfterBytes } = this.faults;
    const number = Number(new URL(request.url ?? '', 'http://x').searchParams.get('X-Amz-Signature'));
    if (number < oldestValidUrl) {
      this.refusals += 1;
      response.writeHead(403).end('<Error><Code>AccessDenied</Code></Error>');
      return;
    }
    if (status !== undefined) {
      response.writeHead(status).end();
      return;
    }
    const { range } = request.headers;
    if (range !== undefined) this.ranges.push(range);
    const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(range ?? '') ?? [];
    const start = Number(first ?? 0);
    const end = Math.min(this.content.length, last === undefined ? this.content.length : Number(last) + 1);
    if (range !== undefined && start >= this.content.length) {
      response.writeHead(416).end();
      return;
    }
    const body = this.content.subarray(start, end);
    response.writeHead(range === undefined ? 200 : 206, {
      'content-length': body.length,
      ...(range !== undefined && { 'content-range': `bytes ${start}-${end - 1}/${this.content.length}` }),
    });
    if (hangAfterBytes !== undefined) {
      response.write(body.subarray(0, hangAfterBytes));
    } else if (this.cutsMade < cuts) {
      this.cutsMade += 1;
      response.write(body.subarray(0, cutAfterBytes), () => response.destroy());
    } else {
      response.end(body);
    }
  }
}
