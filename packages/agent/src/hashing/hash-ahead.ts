import type { PartChecksums } from '@backhaul/protocol';
import { abortable } from '../abortable.ts';
import type { Range } from '../file/read-slices.ts';

/** One part being hashed and one queued, so that the thread need not wait for its next request. */
const AHEAD = 2;

/** Requests checksums of parts in order, a little ahead of their consumer. */
export class HashAhead {
  readonly #parts: Iterator<Range>;
  readonly #hash: (part: Range) => Promise<PartChecksums>;
  readonly #requested: Promise<PartChecksums>[] = [];

  constructor(parts: Iterable<Range>, hash: (part: Range) => Promise<PartChecksums>) {
    this.#parts = parts[Symbol.iterator]();
    this.#hash = hash;
  }

  /** Returns the next part's checksums. @throws The hashing error; the signal's reason; RangeError after the last part. */
  async next({ signal }: { signal: AbortSignal }): Promise<PartChecksums> {
    this.#fill();
    const [first] = this.#requested;
    if (first === undefined) throw new RangeError('all parts are hashed');
    const checksums = await abortable(first, signal);
    void this.#requested.shift();
    this.#fill();
    return checksums;
  }

  #fill(): void {
    while (this.#requested.length < AHEAD) {
      const { value: part, done } = this.#parts.next();
      if (done === true) return;
      const requested = this.#hash(part);
      requested.catch(() => {}); // Thrown when it is consumed; avoids an unhandled rejection until then.
      this.#requested.push(requested);
    }
  }
}
