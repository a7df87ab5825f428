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

/**
 * The fields by which `now` is surely another version than `before`. A changed ctime alone is no proof: chmod,
 * rename and a new hard link move it too. At the end it is settled by reading the file again.
 */
export function differences(before: Fingerprint, now: Fingerprint): string[] {
  return (['device', 'inode', 'size', 'mtime_ns'] as const).filter((field) => before[field] !== now[field]);
}

/** Times outside the years 1 to 9999, which a file may bear, are clamped: RFC 3339 cannot say them. */
export function modifiedAt(stats: BigIntStats): string {
  const earliest = Date.UTC(2000, 0, 1) - 1999 * 365.2425 * 86_400_000;
  const latest = Date.UTC(9999, 11, 31, 23, 59, 59, 999);
  return new Date(Math.min(latest, Math.max(earliest, Number(stats.mtimeMs)))).toISOString();
}
