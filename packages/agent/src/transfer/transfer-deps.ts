import type { Link } from '../connection/link.ts';
import type { BufferPool } from '../file/buffer-pool.ts';
import type { OpenedFile, WantedVersion } from '../file/open-file.ts';
import type { Hashers } from '../hashing/hashers.ts';
import type { Log } from '../log.ts';
import type { SendQueues } from '../platform/platform.ts';
import type { ResponseTimeout } from './response-timeout.ts';
import type { PartParallelism } from './part-parallelism.ts';
import type { PutQueue } from './put-queue.ts';
import type { RateLimit } from './rate-limit.ts';
import type { StorageClient } from './storage-client.ts';
import type { TransferTimings } from './timings.ts';

/** Shared dependencies of all transfers of a process. */
export interface TransferDeps {
  readonly link: Link;
  /** Opens a file if the owner's policy allows it; rejects with a BackhaulError. */
  readonly openFile: (
    path: string,
    options: WantedVersion & { readonly signal: AbortSignal },
  ) => Promise<OpenedFile>;
  readonly storage: StorageClient;
  readonly rateLimit: RateLimit | null;
  readonly responseTimeout: ResponseTimeout;
  readonly hashers: Hashers;
  readonly buffers: BufferPool;
  /** Decides how many PUTs may run at the same time. */
  readonly parallelism: PartParallelism;
  /** Bytes that the kernel has taken and the peer of a connection has not yet acknowledged. */
  readonly sendQueues: () => Promise<SendQueues>;
  /** Queue for the PUTs of all transfers. */
  readonly puts: PutQueue;
  readonly timings: TransferTimings;
  /** Monotonic, milliseconds. */
  readonly now: () => number;
  readonly random: () => number;
  readonly log: Log;
  readonly settings: TransferSettings;
}

export interface TransferSettings {
  /** Maximum number of PUTs: the owner's limit for all transfers together, or a lower one of this transfer. */
  readonly parallelParts: number;
  /** Rate limit of this transfer in bytes per second; undefined for the owner's limit. */
  readonly ownRate?: number | undefined;
  /** The owner's limit in bytes. */
  readonly maxFileSize: number | null;
  /** Whether to compute the whole file's SHA-256. */
  readonly sha256: boolean;
}
