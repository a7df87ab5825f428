import { fstatSync, lstatSync, type BigIntStats } from 'node:fs';
import { lstat } from 'node:fs/promises';
import type { Fingerprint } from '@backhaul/protocol';
import { fingerprintOf } from './fingerprint.ts';
import type { GatedFile } from './gated-file.ts';

/** What there is of a file at one moment. */
export interface Look {
  /** Of what the descriptor shows. */
  readonly fingerprint: Fingerprint;
  /** The file that its path leads to; null for none, or if it was not looked at. */
  readonly there: Pick<Fingerprint, 'device' | 'inode'> | null;
}

export async function lookAt(file: GatedFile, place: string): Promise<Look> {
  const [here, there] = await Promise.all([
    file.call((handle) => handle.stat({ bigint: true })),
    file.call(() => lstat(place, { bigint: true }).catch(() => null)),
  ]);
  return lookOf(here, there);
}

/** Waits for the disk: only in a thread that has nothing else to do. */
export function lookAtSync(fd: number, place: string): Look {
  const here = fstatSync(fd, { bigint: true });
  try {
    return lookOf(here, lstatSync(place, { bigint: true }));
  } catch {
    return lookOf(here, null);
  }
}

function lookOf(here: BigIntStats, there: BigIntStats | null): Look {
  return { fingerprint: fingerprintOf(here), there: there && fingerprintOf(there) };
}
