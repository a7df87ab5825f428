import type { Link } from '../connection/link.ts';
import type { BufferPool } from '../file/buffer-pool.ts';
import type { OpenedFile, WantedVersion } from '../file/open-file.ts';
import type { Hashers } from '../hashing/hashers.ts';
import type { Log } from '../log.ts';
import type { SendQueues } from '../platform/platform.ts';
import type { AnswerPatience } from './answer-patience.ts';
import type { PartParallelism } from './part-parallelism.ts';
import type { PutQueue } from './put-queue.ts';
import type { RateLimit } from './rate-limit.ts';
import type { StorageClient } from './storage-client.ts';
import type { TransferTimings } from './timings.ts';

/** What every transfer of a process works with. */
export interface TransferTools {
  readonly link: Link;
  /** Opens under the owner's policy; rejects with a BackhaulError. */
  readonly openFile: (
    path: string,
    options: WantedVersion & { readonly signal: AbortSignal },
  ) => Promise<OpenedFile>;
  readonly storage: StorageClient;
  readonly rateLimit: RateLimit | null;
  readonly patience: AnswerPatience;
  readonly hashers: Hashers;
  readonly buffers: BufferPool;
  /** What is known of the line, and which PUTs it takes at once. */
  readonly line: PartParallelism;
  /** What the kernel has taken, but the other end of a connection not yet acknowledged. */
  readonly sendQueues: () => Promise<SendQueues>;
  /** Where the PUTs of all transfers wait for the line. */
  readonly puts: PutQueue;
  readonly timings: TransferTimings;
  /** Monotonic, milliseconds. */
  readonly now: () => number;
  readonly random: () => number;
  readonly log: Log;
  readonly settings: TransferSettings;
}

export interface TransferSettings {
  /** PUTs at once: the owner's limit for all transfers together, or a lower one of this transfer. */
  readonly parallelParts: number;
  /** Of this transfer alone, bytes per second; undefined for as fast as the owner allows. */
  readonly ownRate?: number | undefined;
  /** The owner's limit, bytes. */
  readonly maxFileSize: number | null;
  /** Whether to compute the whole file's SHA-256. */
  readonly sha256: boolean;
}
