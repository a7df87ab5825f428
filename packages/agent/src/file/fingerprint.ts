import { type BigIntStats, fstatSync, lstatSync } from 'node:fs';
import { lstat } from 'node:fs/promises';
import type { Fingerprint } from '@backhaul/protocol';
import type { GatedFile } from './gated-file.ts';

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

/** State of an open file and its path at one moment. */
export interface FileState {
  /** Of the open descriptor. */
  readonly fingerprint: Fingerprint;
  /** Of the file at its path; null if there is none, or if the path was not checked. */
  readonly atPath: Pick<Fingerprint, 'device' | 'inode'> | null;
}

export async function statFile(file: GatedFile, path: string): Promise<FileState> {
  const [opened, atPath] = await Promise.all([
    file.call((handle) => handle.stat({ bigint: true })),
    file.call(() => lstat(path, { bigint: true }).catch(() => null)),
  ]);
  return fileState(opened, atPath);
}

/** Blocks until the disk responds: only for a worker thread. */
export function statFileSync(fd: number, path: string): FileState {
  const opened = fstatSync(fd, { bigint: true });
  try {
    return fileState(opened, lstatSync(path, { bigint: true }));
  } catch {
    return fileState(opened, null);
  }
}

function fileState(opened: BigIntStats, atPath: BigIntStats | null): FileState {
  return { fingerprint: fingerprintOf(opened), atPath: atPath && fingerprintOf(atPath) };
}
