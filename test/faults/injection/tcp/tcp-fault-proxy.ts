import { once } from 'node:events';
import { type AddressInfo, type Server, createServer } from 'node:net';
import { type Direction, LinkConditions, type TcpEffect } from './link-conditions.ts';
import { TcpConnection } from './tcp-connection.ts';

const DEADLINE_MS = 30_000;

/**
 * Forwards TCP connections, counts their bytes and injects network faults. {@link fired} counts how often each
 * condition took effect.
 *
 *     await using network = await TcpFaultProxy.start({ target: server.url });
 *     network.halfOpen();
 *     …
 *     await network.resume();
 */
export class TcpFaultProxy implements AsyncDisposable {
  readonly port: number;
  /** The target's URL with this proxy's host and port. */
  readonly endpoint: string;
  readonly #target: { readonly host: string; readonly port: number };
  readonly #conditions = new LinkConditions();
  readonly #connections = new Set<TcpConnection>();
  readonly #bytes: Record<Direction, number> = { toTarget: 0, toClient: 0 };
  #server: Server | undefined;
  /** Limit for future connections. */
  #limit: { readonly sizeBytes: number; connectionsLeft: number } | undefined;
  /** For future connections: the `untilNext`-th is stranded, then every `each`-th. */
  #stranding: { readonly each: number; untilNext: number } | undefined;
  #answers = Infinity;
  #closed = false;

  private constructor(server: Server, target: URL) {
    this.#target = { host: target.hostname, port: Number(target.port) };
    this.port = (server.address() as AddressInfo).port;
    this.endpoint = `${target.protocol}//127.0.0.1:${this.port}`;
    this.#accept(server);
  }

  /** @param options.target URL of any protocol, with a port. */
  static async start({ target }: { target: string }): Promise<TcpFaultProxy> {
    const url = new URL(target);
    if (url.port === '') throw new TypeError(`${target} names no port`);
    return new TcpFaultProxy(await listen(0), url);
  }

  /** Bytes forwarded in both directions together. */
  get bytes(): number {
    return this.#bytes.toTarget + this.#bytes.toClient;
  }

  /** Bytes forwarded to the target. */
  get bytesToTarget(): number {
    return this.#bytes.toTarget;
  }

  /** Bytes forwarded to clients. */
  get bytesToClient(): number {
    return this.#bytes.toClient;
  }

  /** Number of open connections. */
  get connectionCount(): number {
    return this.#connections.size;
  }

  /** Count of each effect, in connections; `delay` and the bandwidth limits count delayed pieces. */
  get fired(): Readonly<Record<TcpEffect, number>> {
    const counts = Object.entries(this.#conditions.effects).map(([name, effect]) => [name, effect.count]);
    return Object.fromEntries(counts) as Record<TcpEffect, number>;
  }

  /** Waits until the effect has occurred `times` times. @throws Error that names the effect. */
  async tookEffect(effect: TcpEffect, options: { times?: number; deadlineMs?: number } = {}): Promise<void> {
    const { times = 1, deadlineMs = DEADLINE_MS } = options;
    const count = this.#conditions.effects[effect];
    const describe = (): string => `${effect} showed ${count.count} times only`;
    await count.reached(times, { deadlineMs, describe });
  }

  /** Ends all connections (FIN). New ones are accepted. */
  cut(): void {
    this.#each('cut', (connection) => connection.cut());
  }

  /** Breaks all connections (RST). New ones are accepted. */
  reset(): void {
    this.#each('reset', (connection) => connection.reset());
  }

  /** Silently stops forwarding: connections stay open, and new ones are accepted but receive nothing. */
  halfOpen(): void {
    this.#conditions.setSilent(true);
    this.#each('halfOpen', (connection) => connection.adjust());
  }

  /** Acts like a router that forgets connections: they stay open but pass nothing, while new ones work. */
  strand(): void {
    this.#each('strand', (connection) => connection.strand());
  }

  /** Stops reading from current and new clients; they still receive the target's bytes. */
  stopReading(): void {
    this.#conditions.setReadsClients(false);
    this.#each('stopReading', (connection) => connection.adjust());
  }

  /** Refuses new connections; open ones stay. Counts its calls: only the operating system sees refusals. */
  refuse(): void {
    if (this.#server === undefined) return;
    this.#server.close();
    this.#server = undefined;
    this.#conditions.effects.refuse.add();
  }

  /** Ends {@link halfOpen}, {@link stopReading} and {@link refuse}. Held bytes are forwarded. */
  async resume(): Promise<void> {
    this.#conditions.setSilent(false);
    this.#conditions.setReadsClients(true);
    for (const connection of this.#connections) connection.adjust();
    if (this.#server === undefined && !this.#closed) this.#accept(await listen(this.port));
  }

  /**
   * Cuts each connection after `sizeBytes` more bytes in both directions together; undefined lifts the limit.
   *
   * @param options.connections Number of connections to limit, by default all; open ones come first.
   */
  limitBytes(sizeBytes: number | undefined, { connections = Infinity }: { connections?: number } = {}): void {
    this.#limit = sizeBytes === undefined ? undefined : { sizeBytes, connectionsLeft: connections };
    for (const connection of this.#connections) {
      connection.cutAfter(Infinity);
      this.#applyLimit(connection);
    }
  }

  /**
   * Delays all bytes by `delayMs` in each direction.
   *
   * @param options.handshake Whether future connections also take a round trip to open; the proxy accepts at once.
   */
  delay(delayMs: number, { handshake = false }: { handshake?: boolean } = {}): void {
    this.#conditions.delayMs = delayMs;
    this.#conditions.delaysHandshake = handshake;
  }

  /** Limits the rate in each direction for all connections together; undefined lifts it. */
  limitBandwidth(bytesPerSecond: number | undefined): void {
    this.#conditions.bytesPerSecond = bytesPerSecond;
  }

  /** Limits the rate of each connection in each direction; undefined lifts the limit. */
  limitConnectionBandwidth(bytesPerSecond: number | undefined): void {
    this.#conditions.connectionBytesPerSecond = bytesPerSecond;
  }

  /** Strands every `each`-th new connection, which never passes anything, starting with the `first`-th from now. */
  strandSome({ each, first = each }: { each: number; first?: number }): void {
    this.#stranding = { each, untilNext: first };
  }

  /** Ends each new connection (FIN), unannounced, after this many HTTP/1.1 responses. */
  endAfterAnswers(answers: number): void {
    this.#answers = answers;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    const server = this.#server;
    this.#server = undefined;
    for (const connection of this.#connections) connection.destroy();
    if (server === undefined) return;
    server.close();
    await once(server, 'close');
  }

  #accept(server: Server): void {
    this.#server = server;
    server.on('connection', (socket) => {
      socket.setNoDelay(true);
      const conditions = this.#conditions;
      const count = (direction: Direction, sizeBytes: number): void => {
        this.#bytes[direction] += sizeBytes;
      };
      const connection = new TcpConnection(socket, {
        ...{ target: this.#target, conditions, count, answers: this.#answers },
      });
      this.#connections.add(connection);
      if (this.#isStranded()) {
        connection.strand();
        conditions.effects.strandSome.add();
      }
      this.#applyLimit(connection);
      if (conditions.silent) conditions.effects.halfOpen.add();
      else if (!conditions.passes('toTarget')) conditions.effects.stopReading.add();
      void connection.run().finally(() => this.#connections.delete(connection));
    });
  }

  #isStranded(): boolean {
    const stranding = this.#stranding;
    if (stranding === undefined) return false;
    stranding.untilNext -= 1;
    if (stranding.untilNext > 0) return false;
    stranding.untilNext = stranding.each;
    return true;
  }

  #each(effect: TcpEffect, act: (connection: TcpConnection) => void): void {
    for (const connection of this.#connections) {
      if (connection.isOver) continue;
      act(connection);
      this.#conditions.effects[effect].add();
    }
  }

  #applyLimit(connection: TcpConnection): void {
    if (this.#limit === undefined || this.#limit.connectionsLeft <= 0) return;
    this.#limit.connectionsLeft--;
    connection.cutAfter(this.#limit.sizeBytes);
  }
}

async function listen(port: number): Promise<Server> {
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true });
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  return server;
}
