import { BackhaulError, MAX_FRAME_BYTES } from '@backhaul/protocol';
import { announceAhead } from './announce-ahead.ts';
import { requireSameParts, rereadParts } from './one-version.ts';
import { PART_MS } from './part-parallelism.ts';
import type { PreparedFile } from './prepare-file.ts';
import type { PartsInFlight } from './progress.ts';
import { sendPart, type Setback } from './send-part.ts';
import type { StallReport } from './stall-report.ts';
import type { TransferDeps, TransferSettings } from './transfer-deps.ts';

interface UploadOptions {
  readonly deps: TransferDeps;
  /** Called for each PUT after the first of a part. */
  readonly onRetry: () => void;
  readonly stall: StallReport;
  readonly inFlight: PartsInFlight;
  readonly signal: AbortSignal;
}

/**
 * Sends all missing parts: several parallel PUTs, one reader ahead of them, and a check for stale URLs. Parts of an
 * earlier attempt are read again meanwhile.
 */
export async function uploadParts(
  prepared: PreparedFile,
  { deps, onRetry, stall, inFlight, signal }: UploadOptions,
): Promise<void> {
  const { ledger, file, plan, window, mode } = prepared;
  const { timings, now, settings } = deps;
  const idle = new AbortController();
  let progressAt = now();

  const sendDeps = {
    ...deps,
    inFlight,
    // In the other modes the server has verified that the store rejects a wrong checksum.
    storeChecks: mode !== 'none',
    withoutProgressMs: () => now() - progressAt,
    onRetry,
    onSetback: (setback: Setback) => stall.setback(setback),
  };
  const send = async (signal: AbortSignal): Promise<void> => {
    for (let part = await ledger.take({ signal }); part !== null; part = await ledger.take({ signal })) {
      const outcome = await sendPart(part, file, { ...sendDeps, signal });
      if (outcome === 'url_expired') {
        ledger.urlExpired(part);
      } else {
        requireShortEtag(outcome.etag, plan.partCount);
        ledger.uploaded(part, outcome.etag);
        progressAt = now();
        stall.progress();
      }
    }
  };
  const readAhead = (signal: AbortSignal) => announceAhead(prepared, window, { now, signal });

  let read: ReadonlyMap<number, string> = new Map();
  const reread = async (signal: AbortSignal): Promise<void> => {
    read = await rereadParts(prepared, { signal });
  };

  const housekeeping = setInterval(() => {
    stall.report();
    ledger.dropStaleUrls();
    ledger.requestUrls(timings.urlResponseMs);
    if (now() - progressAt > timings.idleMs) idle.abort(new BackhaulError('upload_expired'));
  }, timings.urlCheckMs);
  try {
    // Detects a change since the preparation before anything is sent.
    await file.assertUnchanged();
    const senders = Array.from({ length: senderCount(settings, plan.chunkSize) }, () => send);
    const tasks = [readAhead, ...(prepared.resumed ? [reread] : []), ...senders];
    await runConcurrently(tasks, { signal: AbortSignal.any([signal, idle.signal]) });
    requireSameParts(prepared, read);
  } finally {
    clearInterval(housekeeping);
  }
}

/** Number of parallel parts. More than the upload's own rate allows would only occupy slots of other uploads for longer. */
function senderCount({ parallelParts, ownRate = Infinity }: TransferSettings, partBytes: number): number {
  const carried = Math.floor((ownRate * PART_MS) / 1000 / partBytes);
  return Math.max(1, Math.min(parallelParts, carried));
}

/** Bytes per part in `completed` besides the ETag: `{"part_number":10000,"etag":},`, with a margin. */
const BYTES_PER_PART = 40;

/**
 * Checks at the first part that all ETags will fit into one `completed` frame.
 *
 * @throws BackhaulError `storage_refused` if `partCount` ETags of this length do not fit.
 */
export function requireShortEtag(etag: string, partCount: number): void {
  if (partCount * (Buffer.byteLength(JSON.stringify(etag)) + BYTES_PER_PART) <= MAX_FRAME_BYTES) return;
  throw new BackhaulError(
    'storage_refused',
    `The store's ETags have ${etag.length} characters; ${partCount} of them do not fit into one message. Use larger parts.`,
  );
}

type Task = (signal: AbortSignal) => Promise<void>;

/**
 * Runs tasks concurrently. The first failure stops the others and is thrown once all have ended, so that the caller can
 * then close what they share.
 */
async function runConcurrently(tasks: readonly Task[], { signal }: { signal: AbortSignal }): Promise<void> {
  const stop = new AbortController();
  const either = AbortSignal.any([signal, stop.signal]);
  await Promise.allSettled(
    tasks.map(async (task) => {
      try {
        await task(either);
      } catch (error) {
        stop.abort(error);
      }
    }),
  );
  either.throwIfAborted();
}
