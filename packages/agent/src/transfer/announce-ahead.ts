import type { PartAnnouncement, PartChecksums } from '@backhaul/protocol';
import type { Range } from '../file/slices.ts';
import { abortable } from '../waits.ts';
import type { PartLedger } from './part-ledger.ts';

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

/** Maximum size of a window. Hashing reads every byte of a window ahead of the PUTs. */
const MAX_WINDOW_BYTES = 1024 ** 3;

/** Parts to hash before the first PUT. It is sent alone, and more parts are hashed meanwhile. */
const FIRST_PARTS = 4;
/** Maximum number of parts per request for URLs. Each request costs the server a message, a transaction and a response. */
const MAX_BATCH_PARTS = 16;
/** On a slow disk, no further part of a batch is started after this time. */
const MAX_BATCH_MS = 50;

export interface Announcing {
  readonly ledger: PartLedger;
  /** Checksums of the ledger's unread parts. */
  readonly hashes: HashAhead;
}

/** Parts per window: as requested by the server, fewer for huge parts, at least one. */
export function windowParts(windowSize: number, chunkSize: number): number {
  return Math.min(windowSize, Math.max(1, Math.floor(MAX_WINDOW_BYTES / chunkSize)));
}

/** Number of parts to hash before the first PUT; hashing a whole large window first would delay it. */
export function firstBatch(window: number): number {
  return Math.min(FIRST_PARTS, window);
}

/** Hashes and announces the next parts, in order. Fewer than `count` at the end of the file. */
export async function announceNext(
  { ledger, hashes }: Announcing,
  count: number,
  { signal }: { signal: AbortSignal },
): Promise<PartAnnouncement[]> {
  const announced: PartAnnouncement[] = [];
  while (ledger.nextUnread !== null && announced.length < count) {
    announced.push(ledger.announce(await hashes.next({ signal })));
  }
  return announced;
}

/**
 * Hashes up to a window ahead of the PUTs, and requests URLs in batches, so that the senders get the first URLs while
 * the next parts are hashed.
 *
 * @param options.now Milliseconds.
 */
export async function announceAhead(
  announcing: Announcing,
  window: number,
  { now, signal }: { now: () => number; signal: AbortSignal },
): Promise<void> {
  const { ledger } = announcing;
  const batch = Math.min(MAX_BATCH_PARTS, Math.ceil(window / 2));
  while (ledger.nextUnread !== null) {
    await ledger.waitUntilAheadBelow(window - batch + 1, { signal });
    const startedAt = now();
    for (let parts = 0; parts < batch && now() - startedAt < MAX_BATCH_MS; parts += 1) {
      await announceNext(announcing, 1, { signal });
    }
    ledger.requestUrls();
  }
}
