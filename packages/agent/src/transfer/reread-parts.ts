import type { Part } from './part-ledger.ts';
import type { PreparedFile } from './prepare-file.ts';

type Resumed = Pick<PreparedFile, 'file' | 'ledger' | 'hasher' | 'readPace' | 'sha256'>;

/**
 * Reads a resumed file in order, while its missing parts are being sent, and compares the kept parts with the current
 * content. For the SHA-256 of the whole file every part is read, otherwise only the kept ones.
 *
 * @returns The CRC-32 of each part that was read, by number, for {@link requireSameParts}.
 * @throws BackhaulError `file_changed`, `read_failed`
 */
export async function rereadParts(
  { file, ledger, hasher, readPace, sha256 }: Resumed,
  { signal }: { signal: AbortSignal },
): Promise<ReadonlyMap<number, string>> {
  const read = new Map<number, string>();
  for (const part of ledger.parts) {
    if (part.state !== 'kept' && !sha256) continue;
    const mode = part.state === 'kept' && part.checksums?.sha256 !== undefined ? 'sha256' : 'none';
    await readPace?.take(part.length, { signal });
    const now = await hasher.hashPart(part, { mode, inDigest: sha256, signal });
    if (differs(part, now.crc32) || (mode === 'sha256' && part.checksums?.sha256 !== now.sha256)) {
      throw file.contentChanged();
    }
    read.set(part.number, now.crc32);
  }
  return read;
}

/**
 * Checks, once all parts have been announced, that parts read before their announcement match it.
 *
 * @throws BackhaulError `file_changed`
 */
export function requireSameParts({ file, ledger }: Resumed, read: ReadonlyMap<number, string>): void {
  for (const [number, crc32] of read) {
    const part = ledger.parts[number - 1];
    if (part === undefined || differs(part, crc32)) throw file.contentChanged();
  }
}

/** False for an unread part, which has no checksums yet. */
function differs({ checksums }: Part, crc32: string): boolean {
  return checksums !== null && checksums.crc32 !== crc32;
}
