import type { Hash } from 'node:crypto';
import type { ChecksumMode, PartAnnouncement } from '@backhaul/protocol';
import type { BufferPool } from '../file/buffer-pool.ts';
import { hashPart } from '../file/hash-part.ts';
import type { OpenedFile } from '../file/open-file.ts';
import type { PartLedger } from './part-ledger.ts';

/** Hashing reads every byte before it is sent; at most this many bytes before the first PUT can begin. */
const MAX_WINDOW_BYTES = 1024 ** 3;

/** As many as are sent at once, by default. */
const MAX_BATCH_PARTS = 4;

export interface Announcing {
  readonly file: OpenedFile;
  readonly ledger: PartLedger;
  readonly mode: ChecksumMode;
  readonly wholeFile: Hash | null;
  readonly buffers: BufferPool;
}

/** Parts per window: what the server asked for, less where parts are huge, but at least one. */
export function windowParts(windowSize: number, chunkSize: number): number {
  return Math.min(windowSize, Math.max(1, Math.floor(MAX_WINDOW_BYTES / chunkSize)));
}

/** Parts to hash before the first PUT: with all of a large window hashed first, nothing would be sent for as long. */
export function firstParts(window: number): number {
  return Math.min(MAX_BATCH_PARTS, window);
}

/** Reads and hashes the next parts, in order. Fewer than `count` at the file's end. */
export async function announceNext(
  { file, ledger, ...options }: Announcing,
  count: number,
  { signal }: { signal: AbortSignal },
): Promise<PartAnnouncement[]> {
  const announced: PartAnnouncement[] = [];
  for (let part = ledger.nextUnread; part !== null && announced.length < count; part = ledger.nextUnread) {
    const checksums = await hashPart(file, part, { ...options, signal });
    await file.assertUnchanged();
    announced.push(ledger.announce(checksums));
  }
  return announced;
}

/**
 * Reads a window ahead of the PUTs, and asks for URLs of a few parts at a time: the senders get the first ones while
 * the next are hashed.
 */
export async function announceAhead(
  announcing: Announcing,
  window: number,
  { signal }: { signal: AbortSignal },
): Promise<void> {
  const batch = Math.min(MAX_BATCH_PARTS, Math.ceil(window / 2));
  while (announcing.ledger.nextUnread !== null) {
    await announcing.ledger.roomAhead(window - batch + 1, { signal });
    await announceNext(announcing, batch, { signal });
    announcing.ledger.askForUrls();
  }
}
