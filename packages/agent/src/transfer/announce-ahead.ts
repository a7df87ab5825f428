import type { PartAnnouncement } from '@backhaul/protocol';
import type { HashAhead } from '../hashing/hash-ahead.ts';
import type { PartLedger } from './part-ledger.ts';

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
