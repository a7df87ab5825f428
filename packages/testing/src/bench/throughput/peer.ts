import type { S3Target } from '../../object-store.ts';
import type { CommandUsage } from './timed-command.ts';

export interface PeerRun {
  /** The file to send. */
  readonly file: string;
  readonly sizeBytes: number;
  /** Where to, under a key of its own. */
  readonly store: S3Target;
  /** For its configuration. */
  readonly directory: string;
  readonly signal: AbortSignal;
}

/** Somebody else who can do the same work: 5 MiB parts, four at once, otherwise as it comes. */
export interface Peer {
  readonly name: string;
  readonly send: (run: PeerRun) => Promise<CommandUsage>;
}

/** Looks whether it is on this machine. */
export type FindPeers = (signal: AbortSignal) => Promise<Peer[]>;

export const PART_BYTES = 5 * 1024 * 1024;
export const PARALLEL_PARTS = 4;
