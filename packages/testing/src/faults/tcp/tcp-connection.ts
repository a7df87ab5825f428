import { once } from 'node:events';
import { type Socket, connect } from 'node:net';
import type { Direction, LinkConditions } from './link-conditions.ts';
import { TcpDirection } from './tcp-direction.ts';

interface ConnectionOptions {
  readonly target: { readonly host: string; readonly port: number };
  readonly conditions: LinkConditions;
  readonly count: (direction: Direction, sizeBytes: number) => void;
  /** So many answers of HTTP/1.1 are its last ones, after which it is cut. */
  readonly answers: number;
}

/** A client's connection and the one to the target that belongs to it. */
export class TcpConnection {
  readonly #client: Socket;
  readonly #options: ConnectionOptions;
  readonly #over = new AbortController();
  #target: Socket | undefined;
  #directions: readonly TcpDirection[] = [];
  /** Bytes, both ways together, until it is cut. */
  #bytesLeft = Infinity;
  #answersLeft: number;

  /** @param client Paused. */
  constructor(client: Socket, options: ConnectionOptions) {
    this.#client = client;
    this.#options = options;
    this.#answersLeft = options.answers;
    client.on('error', () => undefined);
  }

  /** Until both sides have come to their end, or it is cut. Never rejects. */
  async run(): Promise<void> {
    const { signal } = this.#over;
    try {
      const target = await this.#connect();
      // It may have left while it was kept waiting.
      if (this.#client.destroyed) throw new Error('the client has gone');
      this.#directions = [this.#way('toTarget', target), this.#way('toClient', target)];
      await Promise.all(this.#directions.map((direction) => direction.run()));
    } catch {
      // The target refused; or it was cut, and the sockets have been told so.
      if (!signal.aborted) this.reset();
    }
    await Promise.all([closed(this.#client), closed(this.#target)]);
  }

  /** Whether it was cut, reset or stranded, though a side may not have closed it yet. */
  get isOver(): boolean {
    return this.#over.signal.aborted;
  }

  /** Takes up what has become of the conditions. */
  adjust(): void {
    for (const direction of this.#directions) direction.adjust();
  }

  cutAfter(sizeBytes: number): void {
    this.#bytesLeft = sizeBytes;
  }

  /** Says goodbye in both directions (FIN), and passes nothing any more. */
  cut(): void {
    this.#over.abort();
    for (const socket of [this.#client, this.#target]) {
      // What still comes is thrown away: closing over unread bytes would be a reset.
      socket?.removeAllListeners('data').resume().end();
    }
  }

  /** Passes nothing any more, and lets nobody know, for ever. */
  strand(): void {
    this.#over.abort();
    for (const socket of [this.#client, this.#target]) socket?.removeAllListeners('data').pause();
  }

  reset(): void {
    this.#over.abort();
    this.#client.resetAndDestroy();
    this.#target?.resetAndDestroy();
  }

  /** Leaves nothing open. */
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

/** Whether it begins one; stores send those to PUTs in one piece. An interim one, such as 100, is none. */
function isAnswer(bytes: Buffer): boolean {
  return /^HTTP\/1\.1 [2-5]/.test(bytes.toString('latin1', 0, 10));
}
