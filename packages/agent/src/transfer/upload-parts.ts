import { BackhaulError } from '@backhaul/protocol';
import { runConcurrently } from '../run-concurrently.ts';
import { announceAhead } from './announce-ahead.ts';
import { PART_MS } from './part-parallelism.ts';
import type { PartsInFlight } from './parts-in-flight.ts';
import type { PreparedFile } from './prepare-file.ts';
import { requireSameParts, rereadParts } from './reread-parts.ts';
import { requireShortEtag } from './require-short-etag.ts';
import { type Setback, sendPart } from './send-part.ts';
import type { StallReport } from './stall-report.ts';
import type { TransferSettings, TransferDeps } from './transfer-deps.ts';

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
  const { timings, now, link, settings } = deps;
  const idle = new AbortController();
  let progressAt = now();

  const sendDeps = {
    put: {
      storage: deps.storage,
      rateLimit: deps.rateLimit,
      responseTimeout: deps.responseTimeout,
      parallelism: deps.parallelism,
      sendQueues: deps.sendQueues,
      inFlight,
    },
    buffers: deps.buffers,
    // In the other modes the server has verified that the store rejects a wrong checksum.
    storeChecks: mode !== 'none',
    puts: deps.puts,
    timings,
    now,
    random: deps.random,
    log: deps.log,
    link,
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
