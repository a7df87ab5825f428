import {
  BackhaulError,
  type ChecksumMode,
  type PartAnnouncement,
  type PartChecksums,
  type PartPlan,
  planParts,
  type PrepareUpload,
  type ResumeState,
} from '@backhaul/protocol';
import type { FileHasher } from '../file/hashers.ts';
import type { OpenedFile } from '../file/open-file.ts';
import type { Range } from '../file/slices.ts';
import { announceNext, type Announcing, firstBatch, HashAhead, windowParts } from './announce-ahead.ts';
import { PartLedger } from './part-ledger.ts';
import { ReadPace } from './rate-limit.ts';
import type { TransferDeps } from './transfer-deps.ts';

/** An open file with its part plan. */
export interface PreparedFile extends Announcing {
  readonly file: OpenedFile;
  readonly plan: PartPlan;
  readonly mode: ChecksumMode;
  readonly hasher: FileHasher;
  /** Limits the reading for checksums; null for no limit. */
  readonly readPace: ReadPace | null;
  /** Number of parts to announce ahead of their PUTs. */
  readonly window: number;
  /** Parts that are already hashed, for `prepared`; empty if resumed. */
  readonly firstParts: readonly PartAnnouncement[];
  /** Whether to compute the SHA-256 of the whole file. */
  readonly sha256: boolean;
  /** Whether this continues an earlier attempt. */
  readonly resumed: boolean;
}

interface PrepareOptions {
  readonly deps: TransferDeps;
  readonly hasher: FileHasher;
  readonly ask: (parts: PartAnnouncement[]) => boolean;
  readonly signal: AbortSignal;
}

/** @throws BackhaulError `file_too_large`, `file_changed`, `read_failed` */
export async function prepareFile(
  file: OpenedFile,
  request: PrepareUpload,
  { deps, hasher, ask, signal }: PrepareOptions,
): Promise<PreparedFile> {
  const { settings, rateLimit, now } = deps;
  const { sha256 } = settings;
  const mode = request.checksum_mode;
  requireSize(file.sizeBytes, request.plan.max_file_size ?? Infinity);
  // The owner's limit applies to the whole file, even if only a part of it is requested.
  requireSize(file.wholeSizeBytes, settings.maxFileSize ?? Infinity);
  const rule = { minChunkSize: request.plan.min_chunk_size, maxParts: request.plan.max_parts };
  const plan = planParts(file.sizeBytes, rule);
  const window = windowParts(request.plan.window_size, plan.chunkSize);
  const resumed = request.resume !== undefined;
  const kept = keptParts(request.resume);
  const ledger = new PartLedger({ plan, now, ask, kept });
  const unread = ledger.parts.filter(({ state }) => state === 'unread');
  // If resumed, parts are announced with gaps; `rereadParts` reads all of them and computes the digest.
  const hashing = { mode, inDigest: sha256 && !resumed, signal };
  // Few, because the server waits for `prepared`.
  const firstParts = resumed ? 0 : firstBatch(window);
  const readPace =
    rateLimit === null ? null : new ReadPace(() => rateLimit.bytesPerSecond, { firstParts, now });
  const waitForTurn = serialize((part: Range) => readPace?.take(part.length, { signal }));
  const hashes = new HashAhead(unread, async (part) => {
    await waitForTurn(part);
    return hasher.hashPart(part, hashing);
  });
  const announced = await announceNext({ ledger, hashes }, firstParts, { signal });
  return {
    file,
    plan,
    mode,
    window,
    ledger,
    hasher,
    readPace,
    hashes,
    sha256,
    firstParts: announced,
    resumed,
  };
}

/** Serializes the waits, because parts must be hashed in order for the digest. */
function serialize<Argument>(wait: (argument: Argument) => Promise<void> | undefined): typeof wait {
  let last: Promise<void> = Promise.resolve();
  return (argument) => {
    const turn = last.then(() => wait(argument));
    last = turn.catch(() => {}); // Its caller gets the error.
    return turn;
  };
}

function requireSize(sizeBytes: number, limit: number): void {
  if (sizeBytes <= limit) return;
  throw new BackhaulError('file_too_large', `The file has ${sizeBytes} bytes; the limit is ${limit}.`);
}

function keptParts(resume: ResumeState | undefined): Map<number, PartChecksums> {
  const parts = resume?.kept_parts ?? [];
  return new Map(parts.map(({ part_number: number, ...checksums }) => [number, checksums]));
}
