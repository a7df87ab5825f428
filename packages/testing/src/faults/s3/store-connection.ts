import { Agent, type ClientRequest, request } from 'node:http';
import type { Socket } from 'node:net';

/** A request's head as it goes on, byte for byte: the signature covers it. */
export interface RequestHead {
  readonly method: string;
  readonly path: string;
  readonly rawHeaders: readonly string[];
}

/**
 * The connection to the store that belongs to one of a client's. They live and die together, so that a client sees
 * a store that closes idle connections, or goes away, as it would without anything between.
 */
export class StoreConnection {
  readonly #target: URL;
  readonly #client: Socket;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 1 });
  #socket: Socket | undefined;
  /** Exchanges under way. */
  #busy = 0;

  constructor(target: URL, client: Socket) {
    this.#target = target;
    this.#client = client;
    client.once('close', () => this.#agent.destroy());
  }

  /**
   * For as long as an exchange lasts: a store that closes the connection after its answer, while a fault still holds
   * that, has closed none that is idle.
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

/** A request on a connection of its own, unless `agent` has one. */
export function openRequest(target: URL, head: RequestHead, agent: Agent | false): ClientRequest {
  const { method, path, rawHeaders } = head;
  const names = new Set(rawHeaders.filter((_, at) => at % 2 === 0).map((name) => name.toLowerCase()));
  const isFramed = names.has('content-length') || names.has('transfer-encoding');
  // Node would send chunks of its own accord.
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
  // Told to who waits for the answer; a break after that concerns nobody.
  outgoing.on('error', () => undefined);
  return outgoing;
}
