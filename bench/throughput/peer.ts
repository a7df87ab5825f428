import type { S3Target } from '../../test/harness/object-store.ts';
import type { CommandUsage } from './timed-command.ts';

export interface PeerRun {
  /** File to send. */
  readonly file: string;
  readonly sizeBytes: number;
  /** Target store; each transfer uses its own key. */
  readonly store: S3Target;
  /** Directory for its configuration. */
  readonly directory: string;
  readonly signal: AbortSignal;
}

/** Another tool for the same work: 5 MiB parts, four in parallel, otherwise defaults. */
export interface Peer {
  readonly name: string;
  readonly send: (run: PeerRun) => Promise<CommandUsage>;
}

/** Checks whether the peer is installed. */
export type FindPeers = (signal: AbortSignal) => Promise<Peer[]>;

export const PART_BYTES = 5 * 1024 * 1024;
export const PARALLEL_PARTS = 4;
