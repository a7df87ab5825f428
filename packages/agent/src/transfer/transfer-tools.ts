import type { Link } from '../connection/link.ts';
import type { BufferPool } from '../file/buffer-pool.ts';
import type { OpenedFile, WantedVersion } from '../file/open-file.ts';
import type { Hashers } from '../hashing/hashers.ts';
import type { Log } from '../log.ts';
import type { Semaphore } from '../semaphore.ts';
import type { AnswerPatience } from './answer-patience.ts';
import type { RateLimit } from './rate-limit.ts';
import type { StorageClient } from './storage-client.ts';
import type { TransferTimings } from './timings.ts';

/** What every transfer of a process works with. */
export interface TransferTools {
  readonly link: Link;
  /** Opens under the owner's policy; rejects with a BackhaulError. */
  readonly openFile: (path: string, version: WantedVersion) => Promise<OpenedFile>;
  readonly storage: StorageClient;
  readonly rateLimit: RateLimit | null;
  readonly patience: AnswerPatience;
  readonly hashers: Hashers;
  readonly buffers: BufferPool;
  /** PUTs at once, of all transfers. */
  readonly puts: Semaphore;
  readonly timings: TransferTimings;
  /** Monotonic, milliseconds. */
  readonly now: () => number;
  readonly random: () => number;
  readonly log: Log;
  readonly settings: TransferSettings;
}

export interface TransferSettings {
  /** PUTs at once, of all transfers together. */
  readonly parallelParts: number;
  /** The owner's limit, bytes. */
  readonly maxFileSize: number | null;
  /** Whether to compute the whole file's SHA-256. */
  readonly sha256: boolean;
}
