import type { PartInFlight, PartParallelism } from './part-parallelism.ts';

/** Time alone can make a place, too: a part becomes overdue, or it turns out that its upload holds it back. */
const CHECK_MS = 1000;

interface Waiting {
  readonly bytes: number;
  readonly admitted: (place: PartInFlight) => void;
}

/** Here the PUTs of all transfers wait, in order, until the line takes another one. */
export class PutQueue {
  readonly #line: Pick<PartParallelism, 'admit' | 'ended'>;
  readonly #waiting: Waiting[] = [];
  #timer: NodeJS.Timeout | undefined;

  constructor(line: Pick<PartParallelism, 'admit' | 'ended'>) {
    this.#line = line;
  }

  /** @throws The signal's reason once it is aborted while the PUT waits. */
  async run<Result>(
    bytes: number,
    put: (place: PartInFlight) => Promise<Result>,
    { signal }: { signal: AbortSignal },
  ): Promise<Result> {
    const place = await this.#place(bytes, signal);
    try {
      return await put(place);
    } finally {
      this.#line.ended(place);
      this.#admit();
    }
  }

  async #place(bytes: number, signal: AbortSignal): Promise<PartInFlight> {
    signal.throwIfAborted();
    const turn = Promise.withResolvers<PartInFlight>();
    const waiting = { bytes, admitted: turn.resolve };
    const leave = () => {
      const at = this.#waiting.indexOf(waiting);
      if (at < 0) return; // Its turn has come already.
      this.#waiting.splice(at, 1);
      turn.reject(signal.reason);
      // A smaller one behind it may fit.
      this.#admit();
    };
    this.#waiting.push(waiting);
    signal.addEventListener('abort', leave, { once: true });
    this.#admit();
    try {
      return await turn.promise;
    } finally {
      signal.removeEventListener('abort', leave);
    }
  }

  #admit(): void {
    for (let next = this.#waiting[0]; next !== undefined; next = this.#waiting[0]) {
      const place = this.#line.admit(next.bytes);
      if (place === null) break;
      this.#waiting.shift();
      next.admitted(place);
    }
    if (this.#waiting.length > 0) {
      this.#timer ??= setInterval(() => this.#admit(), CHECK_MS);
    } else {
      clearInterval(this.#timer);
      this.#timer = undefined;
    }
  }
}
