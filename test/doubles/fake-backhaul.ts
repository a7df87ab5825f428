import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { BackhaulError, type ErrorCode, problemOf, type UploadRecord } from '@backhaul/protocol';

export const TOKEN = 'operator-token';

export interface SeenRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
}

export type Route = (response: ServerResponse, request: SeenRequest) => void;

/** A server of the REST API with responses defined by the test, by method and path without query. */
export class FakeBackhaul implements AsyncDisposable {
  readonly url: string;
  readonly requests: SeenRequest[] = [];
  readonly #server: Server;
  readonly #routes: Readonly<Record<string, Route>>;
  readonly #token: string;

  private constructor(server: Server, routes: Readonly<Record<string, Route>>, token: string) {
    this.#server = server;
    this.#routes = routes;
    this.#token = token;
    this.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  }

  static async start(routes: Readonly<Record<string, Route>>, token = TOKEN): Promise<FakeBackhaul> {
    const server = createServer();
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const fake = new FakeBackhaul(server, routes, token);
    server.on('request', (request: IncomingMessage, response: ServerResponse) => {
      void fake.#respond(request, response);
    });
    return fake;
  }

  /** Environment with the address and token of this server. */
  get env(): Record<string, string> {
    return { BACKHAUL_URL: this.url, BACKHAUL_TOKEN: this.#token };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, 'close');
  }

  async #respond(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let body = '';
    for await (const chunk of request.setEncoding('utf8')) body += String(chunk);
    const { method = '', url = '', headers } = request;
    const seen = { method, path: url, headers, body };
    this.requests.push(seen);
    const route = this.#routes[`${method} ${new URL(url, 'http://x').pathname}`];
    const open = url === '/healthz' || url === '/readyz';
    if (!open && headers.authorization !== `Bearer ${this.#token}`) sendProblem(response, 'unauthorized');
    else if (route === undefined) sendProblem(response, 'not_found');
    else route(response, seen);
  }
}

export function sendJson(response: ServerResponse, body: unknown, status = 200): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}

export function sendProblem(response: ServerResponse, code: ErrorCode, detail?: string): void {
  const problem = problemOf(new BackhaulError(code, detail));
  response
    .writeHead(problem.status, { 'content-type': 'application/problem+json' })
    .end(JSON.stringify(problem));
}

/** Sends all records at once. Ends after a terminal record, as the server does. */
export function sendEvents(response: ServerResponse, records: readonly UploadRecord[]): void {
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  response.flushHeaders();
  for (const record of records) {
    response.write(`id: ${record.version}\nevent: upload\ndata: ${JSON.stringify(record)}\n\n`);
  }
  const last = records.at(-1);
  if (last !== undefined && last.completed_at !== null) response.end();
}
