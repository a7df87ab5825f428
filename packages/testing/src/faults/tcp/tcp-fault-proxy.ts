import { once } from 'node:events';
import { type AddressInfo, type Server, createServer } from 'node:net';
import { type Direction, LinkConditions, type TcpEffect } from './link-conditions.ts';
import { TcpConnection } from './tcp-connection.ts';

const DEADLINE_MS = 30_000;

/**
 * Passes TCP connections on, counts their bytes, and lets happen to them what happens to networks. Each condition
 * counts in {@link fired} how often it showed.
 *
 *     await using network = await TcpFaultProxy.start({ target: server.url });
 *     network.halfOpen();
 *     …
 *     await network.resume();
 */
export class TcpFaultProxy implements AsyncDisposable {
  readonly port: number;
  /** Of the target, with this proxy's host and port. */
  readonly endpoint: string;
  readonly #target: { readonly host: string; readonly port: number };
  readonly #conditions = new LinkConditions();
  readonly #connections = new Set<TcpConnection>();
  readonly #bytes: Record<Direction, number> = { toTarget: 0, toClient: 0 };
  #server: Server | undefined;
  /** For connections to come. */
  #limit: { readonly sizeBytes: number; connectionsLeft: number } | undefined;
  /** For connections to come: the so many-th of them stalls, and then each so many-th. */
  #stranding: { readonly each: number; untilNext: number } | undefined;
  #answers = Infinity;
  #closed = false;

  private constructor(server: Server, target: URL) {
    this.#target = { host: target.hostname, port: Number(target.port) };
    this.port = (server.address() as AddressInfo).port;
    this.endpoint = `${target.protocol}//127.0.0.1:${this.port}`;
    this.#accept(server);
  }

  /** @param options.target An address with a port; of what protocol is all the same. */
  static async start({ target }: { target: string }): Promise<TcpFaultProxy> {
    const url = new URL(target);
    if (url.port === '') throw new TypeError(`${target} names no port`);
    return new TcpFaultProxy(await listen(0), url);
  }

  /** Passed on, both ways together. */
  get bytes(): number {
    return this.#bytes.toTarget + this.#bytes.toClient;
  }

  /** Passed on to the target. */
  get bytesToTarget(): number {
    return this.#bytes.toTarget;
  }

  /** Passed on to clients. */
  get bytesToClient(): number {
    return this.#bytes.toClient;
  }

  /** Open at the moment. */
  get connectionCount(): number {
    return this.#connections.size;
  }

  /** How often each showed: connections, or for `delay` and `limitBandwidth` pieces that had to wait. */
  get fired(): Readonly<Record<TcpEffect, number>> {
    const counts = Object.entries(this.#conditions.effects).map(([name, effect]) => [name, effect.count]);
    return Object.fromEntries(counts) as Record<TcpEffect, number>;
  }

  /** Waits until it has shown so often, by default once. @throws Error that names it. */
  async tookEffect(effect: TcpEffect, options: { times?: number; deadlineMs?: number } = {}): Promise<void> {
    const { times = 1, deadlineMs = DEADLINE_MS } = options;
    const count = this.#conditions.effects[effect];
    const describe = (): string => `${effect} showed ${count.count} times only`;
    await count.reached(times, { deadlineMs, describe });
  }

  /** Ends all connections (FIN). New ones are taken. */
  cut(): void {
    this.#each('cut', (connection) => connection.cut());
  }

  /** Breaks all connections (RST). New ones are taken. */
  reset(): void {
    this.#each('reset', (connection) => connection.reset());
  }

  /** Passes nothing any more, and lets nobody know: connections stay open, and new ones are taken and hear nothing. */
  halfOpen(): void {
    this.#conditions.setSilent(true);
    this.#each('halfOpen', (connection) => connection.adjust());
  }

  /** As when a router forgets them: connections stay open and are silent for good, while new ones are taken and pass. */
  strand(): void {
    this.#each('strand', (connection) => connection.strand());
  }

  /** Reads no more from clients, old ones and new; what the target says still reaches them. */
  stopReading(): void {
    this.#conditions.setReadsClients(false);
    this.#each('stopReading', (connection) => connection.adjust());
  }

  /**
   * Refuses new connections. Those that are open stay. Counts itself: of refusals themselves only the system knows.
   */
  refuse(): void {
    if (this.#server === undefined) return;
    this.#server.close();
    this.#server = undefined;
    this.#conditions.effects.refuse.add();
  }

  /** Ends {@link halfOpen}, {@link stopReading} and {@link refuse}. What was held goes on. */
  async resume(): Promise<void> {
    this.#conditions.setSilent(false);
    this.#conditions.setReadsClients(true);
    for (const connection of this.#connections) connection.adjust();
    if (this.#server === undefined && !this.#closed) this.#accept(await listen(this.port));
  }

  /**
   * Cuts each connection once it has passed so many bytes from now on, both ways together; undefined lifts it.
   *
   * @param options.connections For so many connections only, by default all; open ones come first.
   */
  limitBytes(sizeBytes: number | undefined, { connections = Infinity }: { connections?: number } = {}): void {
    this.#limit = sizeBytes === undefined ? undefined : { sizeBytes, connectionsLeft: connections };
    for (const connection of this.#connections) {
      connection.cutAfter(Infinity);
      this.#applyLimit(connection);
    }
  }

  /**
   * Delays all by so much, each way.
   *
   * @param options.handshake Whether connections to come also take a round trip to open; this proxy accepts at once.
   */
  delay(delayMs: number, { handshake = false }: { handshake?: boolean } = {}): void {
    this.#conditions.delayMs = delayMs;
    this.#conditions.delaysHandshake = handshake;
  }

  /** A line of such a rate each way, for all connections together; undefined lifts it. */
  limitBandwidth(bytesPerSecond: number | undefined): void {
    this.#conditions.bytesPerSecond = bytesPerSecond;
  }

  /** Of each connection, each way; undefined lifts it. */
  limitConnectionBandwidth(bytesPerSecond: number | undefined): void {
    this.#conditions.connectionBytesPerSecond = bytesPerSecond;
  }

  /** Each so many-th new connection is taken and passes nothing, ever; the first such one is the `first`-th from now. */
  strandSome({ each, first = each }: { each: number; first?: number }): void {
    this.#stranding = { each, untilNext: first };
  }

  /** Ends each new connection (FIN) after so many answers of HTTP/1.1, unannounced. */
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
