import type { Socket } from 'node:net';
import { queueKey, type SendQueues } from '../platform/platform.ts';
import type { PartInFlight, PartParallelism } from './part-parallelism.ts';
import type { PutExchange } from './put-exchange.ts';

const CHECK_MS = 1000;
/** Most PUTs are over by then, and nothing was spent on watching them. */
const YOUNG_MS = 4000;

export interface SilenceWatchOptions {
  readonly exchange: PutExchange;
  readonly put: PartInFlight;
  readonly line: Pick<PartParallelism, 'hasFallenSilent' | 'heldBack'>;
  /** Earlier PUTs of the part. */
  readonly tries: number;
  readonly sendQueues: () => Promise<SendQueues>;
  readonly now: () => number;
}

/**
 * Looks at what the other side has acknowledged of a PUT, once a second. As long as that grows, the waits of the exchange
 * begin anew, however long the system has taken no byte of a slow line; and a connection that has fallen silent for good
 * while others go on is given up long before those waits are over.
 */
export class SilenceWatch implements Disposable {
  readonly #options: SilenceWatchOptions;
  readonly #timer: NodeJS.Timeout;
  readonly #begunAt: number;
  #acknowledged = -1;
  #silentSince: number;
  #looking = false;
  #over = false;

  constructor(options: SilenceWatchOptions) {
    this.#options = options;
    this.#begunAt = options.now();
    this.#silentSince = this.#begunAt;
    this.#timer = setInterval(() => void this.#look(), CHECK_MS);
  }

  [Symbol.dispose](): void {
    this.#over = true;
    clearInterval(this.#timer);
  }

  async #look(): Promise<void> {
    const { exchange, put, now, line, tries, sendQueues } = this.#options;
    if (this.#looking || now() - this.#begunAt < YOUNG_MS) return;
    const { socket } = exchange;
    this.#looking = true;
    // What is written meanwhile must not count as acknowledged.
    const written = socket === null ? -1 : socket.bytesWritten - socket.writableLength;
    const queues = socket === null ? null : await sendQueues();
    this.#looking = false;
    if (this.#over) return;
    const queued = socket === null ? null : (queues?.get(keyOf(socket)) ?? null);
    const acknowledged = written - (queued ?? 0);
    // Held back by a rate limit, it is only silent if even what was sent is not acknowledged.
    const hasNothingToSend = exchange.heldBack !== null && (queued ?? 0) === 0;
    line.heldBack(put, hasNothingToSend && exchange.heldBack === 'by_its_own');
    if (acknowledged > this.#acknowledged || hasNothingToSend) {
      this.#acknowledged = Math.max(acknowledged, this.#acknowledged);
      this.#silentSince = now();
      exchange.progressed();
    } else if (
      line.hasFallenSilent(put, { silentSince: this.#silentSince, tries, queued: (queued ?? 0) > 0 })
    ) {
      exchange.giveUp({ alone: true });
    }
  }
}

function keyOf({ localPort = 0, remotePort = 0 }: Socket): string {
  return queueKey(localPort, remotePort);
}
