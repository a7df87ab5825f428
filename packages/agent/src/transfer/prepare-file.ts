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
import type { OpenedFile } from '../file/open-file.ts';
import type { FileHasher } from '../hashing/file-hasher.ts';
import type { Range } from '../file/read-slices.ts';
import { HashAhead } from '../hashing/hash-ahead.ts';
import { type Announcing, announceNext, firstBatch, windowParts } from './announce-ahead.ts';
import { PartLedger } from './part-ledger.ts';
import { ReadPace } from './read-pace.ts';
import type { TransferTools } from './transfer-tools.ts';

/** A file that is open and cut into parts. */
export interface PreparedFile extends Announcing {
  readonly file: OpenedFile;
  readonly plan: PartPlan;
  readonly mode: ChecksumMode;
  readonly hasher: FileHasher;
  /** Of reading for checksums; null for as fast as the disk is. */
  readonly readPace: ReadPace | null;
  /** Parts announced ahead of their PUTs. */
  readonly window: number;
  /** Read and hashed already, for `prepared`; none of a resumed one. */
  readonly firstParts: readonly PartAnnouncement[];
  /** Whether the hasher's digest is to be that of the whole file. */
  readonly sha256: boolean;
  /** Whether it goes on with an earlier attempt. */
  readonly resumed: boolean;
}

interface PrepareOptions {
  readonly tools: TransferTools;
  readonly hasher: FileHasher;
  readonly ask: (parts: PartAnnouncement[]) => boolean;
  readonly signal: AbortSignal;
}

/** @throws BackhaulError `file_too_large`, `file_changed`, `read_failed` */
export async function prepareFile(
  file: OpenedFile,
  request: PrepareUpload,
  { tools, hasher, ask, signal }: PrepareOptions,
): Promise<PreparedFile> {
  const { settings, rateLimit, now } = tools;
  const { sha256 } = settings;
  const mode = request.checksum_mode;
  requireSize(file.sizeBytes, request.plan.max_file_size ?? Infinity);
  // The owner's limit is about the file: asking for less of it is no way around.
  requireSize(file.wholeSizeBytes, settings.maxFileSize ?? Infinity);
  const rule = { minChunkSize: request.plan.min_chunk_size, maxParts: request.plan.max_parts };
  const plan = planParts(file.sizeBytes, rule);
  const window = windowParts(request.plan.window_size, plan.chunkSize);
  const resumed = request.resume !== undefined;
  const kept = keptParts(request.resume);
  const ledger = new PartLedger({ plan, now, ask, kept });
  const unread = ledger.parts.filter(({ state }) => state === 'unread');
  // Resumed, parts are announced with gaps: the digest of the whole file is taken by who reads them all.
  const hashing = { mode, inDigest: sha256 && !resumed, signal };
  // `prepared` must not be late: the server waits for it.
  const firstParts = resumed ? 0 : firstBatch(window);
  const readPace =
    rateLimit === null ? null : new ReadPace(() => rateLimit.bytesPerSecond, { firstParts, now });
  const mayRead = inTurn((part: Range) => readPace?.take(part.length, { signal }));
  const hashes = new HashAhead(unread, async (part) => {
    await mayRead(part);
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

/** One after another: parts go into the digest in their order. */
function inTurn<Argument>(wait: (argument: Argument) => Promise<void> | undefined): typeof wait {
  let last: Promise<void> = Promise.resolve();
  return (argument) => {
    const turn = last.then(() => wait(argument));
    last = turn.catch(() => {}); // The one whose turn it was sees it.
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
