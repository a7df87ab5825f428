import { queueKey, type SendQueues } from '../platform/platform.ts';
import type { PutExchange } from './put-exchange.ts';

interface Flight extends Pick<PutExchange, 'bytesTaken'> {
  readonly socket: {
    readonly localPort?: number | undefined;
    readonly remotePort?: number | undefined;
  } | null;
}

/** What the kernel had taken of each part's body, at one moment. */
export type TakenBytes = ReadonlyMap<Flight, number>;

/**
 * The parts of one transfer that are on their way, and how much of them has arrived at the other end of their
 * connections: taken by the kernel, less what still waits in its send queue, where Linux alone holds up to 4 MiB.
 */
export class PartsInFlight {
  /** Acknowledged bytes of each; they do not become fewer. */
  readonly #flights = new Map<Flight, number>();

  get size(): number {
    return this.#flights.size;
  }

  add(flight: Flight): Disposable {
    this.#flights.set(flight, 0);
    return { [Symbol.dispose]: () => void this.#flights.delete(flight) };
  }

  taken(): TakenBytes {
    return new Map(Array.from(this.#flights.keys(), (flight) => [flight, flight.bytesTaken]));
  }

  /** @param taken From before `queues` were read: what was written in between must not count as acknowledged. */
  acknowledged(taken: TakenBytes, queues: SendQueues): number {
    let total = 0;
    for (const [flight, before] of this.#flights) {
      const { localPort = 0, remotePort = 0 } = flight.socket ?? {};
      const queued = queues?.get(queueKey(localPort, remotePort)) ?? 0;
      const acknowledged = Math.max(before, (taken.get(flight) ?? 0) - queued);
      this.#flights.set(flight, acknowledged);
      total += acknowledged;
    }
    return total;
  }
}
