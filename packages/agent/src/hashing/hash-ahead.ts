import type { PartChecksums } from '@backhaul/protocol';
import { abortable } from '../abortable.ts';
import type { Range } from '../file/read-slices.ts';

/** One that is hashed, and one that waits: so that the thread need not wait for its next order. */
const AHEAD = 2;

/** Has parts hashed in order, a little ahead of who takes the checksums. */
export class HashAhead {
  readonly #parts: Iterator<Range>;
  readonly #hash: (part: Range) => Promise<PartChecksums>;
  readonly #ordered: Promise<PartChecksums>[] = [];

  constructor(parts: Iterable<Range>, hash: (part: Range) => Promise<PartChecksums>) {
    this.#parts = parts[Symbol.iterator]();
    this.#hash = hash;
  }

  /** @throws What hashing threw; the signal's reason; RangeError when there is no part left. */
  async next({ signal }: { signal: AbortSignal }): Promise<PartChecksums> {
    this.#order();
    const [first] = this.#ordered;
    if (first === undefined) throw new RangeError('all parts are hashed');
    const checksums = await abortable(first, signal);
    void this.#ordered.shift();
    this.#order();
    return checksums;
  }

  #order(): void {
    while (this.#ordered.length < AHEAD) {
      const { value: part, done } = this.#parts.next();
      if (done === true) return;
      const ordered = this.#hash(part);
      ordered.catch(() => {}); // Whoever takes it sees it; perhaps nobody will.
      this.#ordered.push(ordered);
    }
  }
}
