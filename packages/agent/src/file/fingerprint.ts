import type { BigIntStats } from 'node:fs';
import type { Fingerprint } from '@backhaul/protocol';

/** Which version of which file a descriptor shows. */
export function fingerprintOf(stats: BigIntStats): Fingerprint {
  return {
    device: String(stats.dev),
    inode: String(stats.ino),
    size: String(stats.size),
    mtime_ns: String(stats.mtimeNs),
    ctime_ns: String(stats.ctimeNs),
  };
}

/** Times outside the years 1 to 9999, which a file may bear, are clamped: RFC 3339 cannot say them. */
export function modifiedAt(stats: BigIntStats): string {
  const earliest = Date.UTC(2000, 0, 1) - 1999 * 365.2425 * 86_400_000;
  const latest = Date.UTC(9999, 11, 31, 23, 59, 59, 999);
  return new Date(Math.min(latest, Math.max(earliest, Number(stats.mtimeMs)))).toISOString();
}
