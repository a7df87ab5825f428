import { once } from 'node:events';
import { type Socket, connect } from 'node:net';
import type { Direction, LinkConditions } from './link-conditions.ts';
import { TcpDirection } from './tcp-direction.ts';

interface ConnectionOptions {
  readonly target: { readonly host: string; readonly port: number };
  readonly conditions: LinkConditions;
  readonly count: (direction: Direction, sizeBytes: number) => void;
  /** Number of HTTP/1.1 responses after which the connection is cut. */
  readonly answers: number;
}

/** A client's connection and its connection to the target. */
export class TcpConnection {
  readonly #client: Socket;
  readonly #options: ConnectionOptions;
  readonly #over = new AbortController();
  #target: Socket | undefined;
  #directions: readonly TcpDirection[] = [];
  /** Bytes left, in both directions together, until the connection is cut. */
  #bytesLeft = Infinity;
  #answersLeft: number;

  /** @param client The accepted socket, paused. */
  constructor(client: Socket, options: ConnectionOptions) {
    this.#client = client;
    this.#options = options;
    this.#answersLeft = options.answers;
    client.on('error', () => undefined);
  }

  /** Runs until both sides have ended or the connection is cut. Never rejects. */
  async run(): Promise<void> {
    const { signal } = this.#over;
    try {
      const target = await this.#connect();
      // The client may have disconnected during the wait.
      if (this.#client.destroyed) throw new Error('the client has gone');
      this.#directions = [this.#way('toTarget', target), this.#way('toClient', target)];
      await Promise.all(this.#directions.map((direction) => direction.run()));
    } catch {
      // The target refused, or the connection was cut and its sockets are already handled.
      if (!signal.aborted) this.reset();
    }
    await Promise.all([closed(this.#client), closed(this.#target)]);
  }

  /** Whether the connection was cut, reset or stranded; a side may still be open. */
  get isOver(): boolean {
    return this.#over.signal.aborted;
  }

  /** Applies the current conditions. */
  adjust(): void {
    for (const direction of this.#directions) direction.adjust();
  }

  cutAfter(sizeBytes: number): void {
    this.#bytesLeft = sizeBytes;
  }

  /** Sends FIN in both directions and stops forwarding. */
  cut(): void {
    this.#over.abort();
    for (const socket of [this.#client, this.#target]) {
      // Incoming bytes are discarded: closing with unread bytes would send a reset.
      socket?.removeAllListeners('data').resume().end();
    }
  }

  /** Stops forwarding permanently and notifies neither side. */
  strand(): void {
    this.#over.abort();
    for (const socket of [this.#client, this.#target]) socket?.removeAllListeners('data').pause();
  }

  reset(): void {
    this.#over.abort();
    this.#client.resetAndDestroy();
    this.#target?.resetAndDestroy();
  }

  /** Destroys both sockets. */
  destroy(): void {
    this.#over.abort();
    this.#client.destroy();
    this.#target?.destroy();
  }

  async #connect(): Promise<Socket> {
    const { target, conditions } = this.#options;
    const { signal } = this.#over;
    await conditions.passable('toClient', signal);
    signal.throwIfAborted();
    const socket = connect({ ...target, allowHalfOpen: true });
    this.#target = socket;
    socket.on('error', () => undefined);
    await once(socket, 'connect', { signal });
    socket.setNoDelay(true);
    return socket;
  }

  #way(direction: Direction, target: Socket): TcpDirection {
    const [from, to] = direction === 'toTarget' ? [this.#client, target] : [target, this.#client];
    const { conditions } = this.#options;
    const send = (bytes: Buffer): boolean => this.#send(bytes, direction, to);
    return new TcpDirection(from, to, { direction, conditions, signal: this.#over.signal, send });
  }

  #send(bytes: Buffer, direction: Direction, to: Socket): boolean {
    const { count, conditions } = this.#options;
    const allowed = bytes.subarray(0, this.#bytesLeft);
    this.#bytesLeft -= allowed.length;
    count(direction, allowed.length);
    const taken = to.write(allowed);
    if (direction === 'toClient' && isAnswer(allowed)) this.#answersLeft -= 1;
    if (this.#answersLeft === 0) {
      conditions.effects.endAfterAnswers.add();
      this.cut();
    }
    if (this.#bytesLeft === 0) {
      conditions.effects.limitBytes.add();
      this.cut();
    }
    return taken;
  }
}

async function closed(socket: Socket | undefined): Promise<void> {
  if (socket === undefined || socket.closed) return;
  await new Promise<void>((resolve) => {
    socket.once('close', () => resolve());
  });
}

/** Whether the bytes begin a final HTTP response (not 1xx); stores send responses to PUTs in one piece. */
function isAnswer(bytes: Buffer): boolean {
  return /^HTTP\/1\.1 [2-5]/.test(bytes.toString('latin1', 0, 10));
}
