import { once } from 'node:events';
import http from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';

interface ForwardProxyOptions {
  /** Credentials demanded with 407; if undefined, every client is served. */
  readonly credentials?: { readonly user: string; readonly password: string };
}

/**
 * A typical corporate proxy: CONNECT for https, absolute URLs for http. Only this proxy resolves names below `.test`,
 * to this machine, so requests to such names must have come through it.
 */
export class ForwardProxy implements AsyncDisposable {
  /** Requests in order of arrival: `CONNECT host:port` or `GET http://…`. */
  readonly requests: string[] = [];
  refusals = 0;
  readonly #server = http.createServer();
  readonly #sockets = new Set<Duplex>();
  readonly #expected: string | null;

  private constructor({ credentials }: ForwardProxyOptions) {
    this.#expected =
      credentials === undefined
        ? null
        : `Basic ${Buffer.from(`${credentials.user}:${credentials.password}`).toString('base64')}`;
    this.#server.on('connection', (socket) => this.#keep(socket));
    this.#server.on('request', (request, response) => this.#forward(request, response));
    this.#server.on('connect', (request, socket) => this.#tunnel(request, socket));
  }

  static async start(options: ForwardProxyOptions = {}): Promise<ForwardProxy> {
    const proxy = new ForwardProxy(options);
    proxy.#server.listen(0, '127.0.0.1');
    await once(proxy.#server, 'listening');
    return proxy;
  }

  /** @param userInfo `user:password` */
  url(userInfo?: string): string {
    const { port } = this.#server.address() as AddressInfo;
    return `http://${userInfo === undefined ? '' : `${userInfo}@`}127.0.0.1:${port}`;
  }

  #admits({ headers }: http.IncomingMessage): boolean {
    if (this.#expected === null || headers['proxy-authorization'] === this.#expected) return true;
    this.refusals += 1;
    return false;
  }

  #forward(request: http.IncomingMessage, response: http.ServerResponse): void {
    if (!this.#admits(request)) {
      response.writeHead(407, { 'proxy-authenticate': 'Basic realm="test"' }).end();
      return;
    }
    this.requests.push(`${request.method} ${request.url}`);
    const { hostname, port, pathname, search } = new URL(request.url ?? '');
    const { 'proxy-authorization': _own, 'proxy-connection': _hop, ...headers } = request.headers;
    const onward = http.request(
      {
        host: whereIs(hostname),
        port,
        path: pathname + search,
        method: request.method,
        headers,
        agent: false,
      },
      (answer) => {
        response.writeHead(answer.statusCode ?? 502, answer.headers);
        answer.pipe(response);
      },
    );
    onward.on('error', () => response.destroy());
    request.pipe(onward);
  }

  #tunnel(request: http.IncomingMessage, socket: Duplex): void {
    socket.on('error', () => socket.destroy());
    if (!this.#admits(request)) {
      socket.end(
        'HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm="test"\r\nContent-Length: 0\r\n\r\n',
      );
      return;
    }
    this.requests.push(`CONNECT ${request.url}`);
    const [host = '', port = ''] = (request.url ?? '').split(':');
    const onward: Socket = connect(Number(port), whereIs(host), () => {
      socket.write('HTTP/1.1 200 Connection established\r\n\r\n');
      socket.pipe(onward).pipe(socket);
    });
    this.#keep(onward);
    onward.on('error', () => socket.destroy());
    socket.once('close', () => onward.destroy());
  }

  #keep(socket: Duplex): void {
    this.#sockets.add(socket);
    socket.once('close', () => this.#sockets.delete(socket));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }
}

function whereIs(host: string): string {
  return host.endsWith('.test') ? '127.0.0.1' : host;
}
