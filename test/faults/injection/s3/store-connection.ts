import { Agent, type ClientRequest, request } from 'node:http';
import type { Socket } from 'node:net';

/** A request's head, forwarded byte for byte because the signature covers it. */
export interface RequestHead {
  readonly method: string;
  readonly path: string;
  readonly rawHeaders: readonly string[];
}

/**
 * The store connection of one client connection. They close together, so that a client sees a store that closes idle
 * connections or stops as it would without a proxy.
 */
export class StoreConnection {
  readonly #target: URL;
  readonly #client: Socket;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 1 });
  #socket: Socket | undefined;
  /** Number of exchanges in progress. */
  #busy = 0;

  constructor(target: URL, client: Socket) {
    this.#target = target;
    this.#client = client;
    client.once('close', () => this.#agent.destroy());
  }

  /**
   * Marks the connection as busy during an exchange: a store that closes it after a response that a fault still holds
   * has not closed an idle connection.
   */
  hold(): Disposable {
    this.#busy++;
    return { [Symbol.dispose]: () => void this.#busy-- };
  }

  request(head: RequestHead): ClientRequest {
    const outgoing = openRequest(this.#target, head, this.#agent);
    outgoing.once('socket', (socket) => this.#watch(socket));
    return outgoing;
  }

  #watch(socket: Socket): void {
    if (this.#socket === socket) return;
    this.#socket = socket;
    socket.once('close', () => {
      if (this.#busy === 0) this.#client.destroy();
    });
  }
}

/** Opens a request on a new connection, unless `agent` has a free one. */
export function openRequest(target: URL, head: RequestHead, agent: Agent | false): ClientRequest {
  const { method, path, rawHeaders } = head;
  const names = new Set(rawHeaders.filter((_, at) => at % 2 === 0).map((name) => name.toLowerCase()));
  const isFramed = names.has('content-length') || names.has('transfer-encoding');
  // Without it, Node would use chunked encoding.
  const framing = isFramed || !['PUT', 'POST'].includes(method) ? [] : ['Content-Length', '0'];
  const outgoing = request({
    agent,
    host: target.hostname,
    port: target.port || 80,
    method,
    path,
    headers: [...rawHeaders, ...framing],
  });
  outgoing.setNoDelay(true);
  // Callers that wait for the response get the error; later errors do not matter.
  outgoing.on('error', () => undefined);
  return outgoing;
}
