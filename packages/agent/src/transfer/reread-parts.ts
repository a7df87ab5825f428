import type { Part } from './part-ledger.ts';
import type { PreparedFile } from './prepare-file.ts';

type Resumed = Pick<PreparedFile, 'file' | 'ledger' | 'hasher' | 'readPace' | 'sha256'>;

/**
 * Reads a file whose upload goes on, in order, while its missing parts are being sent: what was kept has to be what
 * the file holds now. With a digest of the whole file every part is read, else only the kept ones.
 *
 * @returns what was read of each part, by number, for {@link requireSameParts}.
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
 * Once all parts have been announced: those that were read before that, too, were what was sent.
 *
 * @throws BackhaulError `file_changed`
 */
export function requireSameParts({ file, ledger }: Resumed, read: ReadonlyMap<number, string>): void {
  for (const [number, crc32] of read) {
    const part = ledger.parts[number - 1];
    if (part === undefined || differs(part, crc32)) throw file.contentChanged();
  }
}

/** A part that is still unread has nothing to be compared with. */
function differs({ checksums }: Part, crc32: string): boolean {
  return checksums !== null && checksums.crc32 !== crc32;
}
