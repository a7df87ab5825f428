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
export function modifiedAt(stats: Pick<BigIntStats, 'mtimeMs'>): string {
  const earliest = Date.parse('0001-01-01T00:00:00.000Z');
  const latest = Date.parse('9999-12-31T23:59:59.999Z');
  return new Date(Math.min(latest, Math.max(earliest, Number(stats.mtimeMs)))).toISOString();
}
