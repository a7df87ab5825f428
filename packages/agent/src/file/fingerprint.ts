import type { BigIntStats } from 'node:fs';
import type { Fingerprint } from '@backhaul/protocol';

/** Identifies the file and version behind a descriptor. */
export function fingerprintOf(stats: BigIntStats): Fingerprint {
  return {
    device: String(stats.dev),
    inode: String(stats.ino),
    size: String(stats.size),
    mtime_ns: String(stats.mtimeNs),
    ctime_ns: String(stats.ctimeNs),
  };
}

/** Modification time; clamped to the years 1 to 9999, because RFC 3339 cannot represent others. */
export function modifiedAt(stats: Pick<BigIntStats, 'mtimeMs'>): string {
  const earliest = Date.parse('0001-01-01T00:00:00.000Z');
  const latest = Date.parse('9999-12-31T23:59:59.999Z');
  return new Date(Math.min(latest, Math.max(earliest, Number(stats.mtimeMs)))).toISOString();
}
