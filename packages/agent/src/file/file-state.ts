import { fstatSync, lstatSync, type BigIntStats } from 'node:fs';
import { lstat } from 'node:fs/promises';
import type { Fingerprint } from '@backhaul/protocol';
import { fingerprintOf } from './fingerprint.ts';
import type { GatedFile } from './gated-file.ts';

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
