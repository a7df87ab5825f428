import type { PartAnnouncement } from '@backhaul/protocol';
import type { HashAhead } from '../hashing/hash-ahead.ts';
import type { PartLedger } from './part-ledger.ts';

/** Hashing reads every byte before it is sent; at most this many bytes before the first PUT can begin. */
const MAX_WINDOW_BYTES = 1024 ** 3;

/** Enough to begin with: the first is sent alone, and more are hashed meanwhile. */
const FIRST_PARTS = 4;
/** URLs are asked for so many parts at a time: each time costs the server a message, a transaction and an answer. */
const MAX_BATCH_PARTS = 16;
/** From a slow disk fewer parts come at a time: no other one is begun after so long. */
const MAX_BATCH_MS = 50;

export interface Announcing {
  readonly ledger: PartLedger;
  /** Of the ledger's unread parts. */
  readonly hashes: HashAhead;
}

/** Parts per window: what the server asked for, less where parts are huge, but at least one. */
export function windowParts(windowSize: number, chunkSize: number): number {
  return Math.min(windowSize, Math.max(1, Math.floor(MAX_WINDOW_BYTES / chunkSize)));
}

/** Parts to hash before the first PUT: with all of a large window hashed first, nothing would be sent for as long. */
export function firstBatch(window: number): number {
  return Math.min(FIRST_PARTS, window);
}

/** Announces the next parts, in order, once they are read and hashed. Fewer than `count` at the file's end. */
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
 * Reads a window ahead of the PUTs, and asks for URLs of some parts at a time: the senders get the first ones while
 * the next are hashed.
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
    await ledger.roomAhead(window - batch + 1, { signal });
    const begunAt = now();
    for (let parts = 0; parts < batch && now() - begunAt < MAX_BATCH_MS; parts += 1) {
      await announceNext(announcing, 1, { signal });
    }
    ledger.askForUrls();
  }
}
