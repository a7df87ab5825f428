import type { Backoff } from '../backoff.ts';
import type { Link } from '../connection/server-link.ts';
import type { Hashers } from '../file/hashers.ts';
import type { OpenedFile, WantedVersion } from '../file/open-file.ts';
import type { BufferPool } from '../file/slices.ts';
import type { Log } from '../log.ts';
import type { SendQueues } from '../platform/platform.ts';
import type { PartParallelism } from './part-parallelism.ts';
import type { PutQueue } from './put-queue.ts';
import type { ResponseTimeout } from './put-timeouts.ts';
import type { RateLimit } from './rate-limit.ts';
import type { StorageClient } from './storage-client.ts';

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

/** Timeouts and limits of a transfer; tests shorten them. */
export interface TransferTimings {
  /** Timeout from the DNS lookup to an open connection, with TLS and a proxy. */
  readonly connectMs: number;
  /**
   * Idle timeout: a socket that accepts no byte for this time is dead. Detection may take twice as long, because Node
   * counts the first bytes of a large write as progress.
   */
  readonly stallMs: number;
  /** Initial timeout from the last byte of a part to the store's response. @see ResponseTimeout */
  readonly responseMs: number;
  readonly maxResponseMs: number;
  /** Failed PUTs of one part, with the server reachable, before the store counts as unavailable. */
  readonly maxFailures: number;
  /** Minimum time without a stored part before the store counts as unavailable; most outages are shorter. */
  readonly unavailableAfterMs: number;
  /** Maximum number of digest errors of one part. */
  readonly maxDigestFailures: number;
  readonly backoff: Backoff;
  /** A URL is not used this long before its expiry, or during the last fifth of its lifetime if that is shorter. */
  readonly urlMarginMs: number;
  /** Interval of the checks for stale URLs. */
  readonly urlCheckMs: number;
  /** A request for URLs without a response is repeated after this time. */
  readonly urlResponseMs: number;
  /** Maximum number of URLs of one part that the store rejects as expired; more mean that the clocks differ. */
  readonly maxExpiredUrls: number;
  /** Time without a stored part after which the reason is reported to the server. */
  readonly stallReportMs: number;
  /** Minimum time between two progress reports. */
  readonly reportMs: number;
  /** A transfer without any progress for this time is ended as expired. */
  readonly idleMs: number;
  /** How long an ended transfer can still repeat its final message after it was sent. */
  readonly rememberMs: number;
}

export const defaultTimings: TransferTimings = {
  connectMs: 50_000,
  stallMs: 25_000,
  responseMs: 45_000,
  maxResponseMs: 600_000,
  maxFailures: 8,
  unavailableAfterMs: 300_000,
  maxDigestFailures: 3,
  backoff: { baseMs: 500, capMs: 20_000 },
  urlMarginMs: 30_000,
  urlCheckMs: 250,
  urlResponseMs: 30_000,
  maxExpiredUrls: 5,
  stallReportMs: 5000,
  reportMs: 250,
  idleMs: 24 * 3_600_000,
  rememberMs: 600_000,
};
