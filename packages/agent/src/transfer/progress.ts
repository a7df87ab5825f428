import type { AgentMessageInput } from '@backhaul/protocol';
import type { Link } from '../connection/server-link.ts';
import { queueKey, type SendQueues } from '../platform/platform.ts';
import type { PartLedger } from './part-ledger.ts';
import type { PutExchange } from './put-exchange.ts';

type PartUploadedInput = Extract<AgentMessageInput, { status: 'part_uploaded' }>;

/** Keeps a frame below its size limit even with ETags of 256 characters. */
const MAX_PARTS_PER_MESSAGE = 2000;

interface ProgressDeps {
  readonly ledger: PartLedger;
  readonly link: Pick<Link, 'connected' | 'congested' | 'send'>;
  readonly reportMs: number;
  readonly message: (parts: PartUploadedInput['parts']) => PartUploadedInput;
}

/** Reports stored parts to the server, in batches, and not while the connection is congested. */
export class Progress {
  readonly #deps: ProgressDeps;
  readonly #timer: NodeJS.Timeout;

  constructor(deps: ProgressDeps) {
    this.#deps = deps;
    this.#timer = setInterval(() => {
      if (!deps.link.congested) this.#sendOne();
    }, deps.reportMs);
  }

  /** Sends all unsent reports. */
  flush(): void {
    while (this.#sendOne());
  }

  close(): void {
    clearInterval(this.#timer);
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #sendOne(): boolean {
    const { ledger, link, message } = this.#deps;
    if (!link.connected) return false;
    const parts = ledger.unreported(MAX_PARTS_PER_MESSAGE);
    if (parts.length === 0 || !link.send(message(parts))) return false;
    ledger.markReported(parts);
    return true;
  }
}

interface RunningPut extends Pick<PutExchange, 'bytesTaken'> {
  readonly socket: {
    readonly localPort?: number | undefined;
    readonly remotePort?: number | undefined;
  } | null;
}

/** Number of body bytes that the kernel had taken of each PUT, at one moment. */
export type TakenBytes = ReadonlyMap<RunningPut, number>;

/**
 * The running PUTs of one transfer, and how many of their bytes the peer has acknowledged: the bytes taken by the kernel
 * minus those in its send queue, which can hold up to 4 MiB on Linux.
 */
export class PartsInFlight {
  /** Acknowledged bytes of each PUT; never decreases. */
  readonly #puts = new Map<RunningPut, number>();

  get size(): number {
    return this.#puts.size;
  }

  add(put: RunningPut): Disposable {
    this.#puts.set(put, 0);
    return { [Symbol.dispose]: () => void this.#puts.delete(put) };
  }

  taken(): TakenBytes {
    return new Map(Array.from(this.#puts.keys(), (put) => [put, put.bytesTaken]));
  }

  /** @param taken Must be read before `queues`, so that bytes written in between do not count as acknowledged. */
  acknowledged(taken: TakenBytes, queues: SendQueues): number {
    let total = 0;
    for (const [put, before] of this.#puts) {
      const { localPort = 0, remotePort = 0 } = put.socket ?? {};
      const queued = queues?.get(queueKey(localPort, remotePort)) ?? 0;
      const acknowledged = Math.max(before, (taken.get(put) ?? 0) - queued);
      this.#puts.set(put, acknowledged);
      total += acknowledged;
    }
    return total;
  }
}
