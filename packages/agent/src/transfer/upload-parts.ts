import { BackhaulError } from '@backhaul/protocol';
import { together } from '../together.ts';
import { announceAhead } from './announce-ahead.ts';
import { PART_MS } from './part-parallelism.ts';
import type { PartsInFlight } from './parts-in-flight.ts';
import type { PreparedFile } from './prepare-file.ts';
import { requireSameParts, rereadParts } from './reread-parts.ts';
import { requireShortEtag } from './require-short-etag.ts';
import { type Setback, sendPart } from './send-part.ts';
import type { StallReport } from './stall-report.ts';
import type { TransferSettings, TransferTools } from './transfer-tools.ts';

interface UploadOptions {
  readonly tools: TransferTools;
  /** Each PUT beyond a part's first. */
  readonly onRetry: () => void;
  readonly stall: StallReport;
  readonly inFlight: PartsInFlight;
  readonly signal: AbortSignal;
}

/**
 * Sends all parts that are missing: a few PUTs side by side, one reader ahead of them, and an eye on the age of the
 * URLs. What an earlier attempt sent is read again meanwhile.
 */
export async function uploadParts(
  prepared: PreparedFile,
  { tools, onRetry, stall, inFlight, signal }: UploadOptions,
): Promise<void> {
  const { ledger, file, plan, window, mode } = prepared;
  const { timings, now, link, settings } = tools;
  const idle = new AbortController();
  let progressAt = now();

  const sendTools = {
    put: {
      storage: tools.storage,
      rateLimit: tools.rateLimit,
      patience: tools.patience,
      line: tools.line,
      sendQueues: tools.sendQueues,
      inFlight,
    },
    buffers: tools.buffers,
    // In the other modes the server has seen it refuse a wrong one.
    storeChecks: mode !== 'none',
    puts: tools.puts,
    timings,
    now,
    random: tools.random,
    log: tools.log,
    link,
    withoutProgressMs: () => now() - progressAt,
    onRetry,
    onSetback: (setback: Setback) => stall.setback(setback),
  };
  const send = async (signal: AbortSignal): Promise<void> => {
    for (let part = await ledger.take({ signal }); part !== null; part = await ledger.take({ signal })) {
      const outcome = await sendPart(part, file, { ...sendTools, signal });
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

  const care = setInterval(() => {
    stall.report();
    ledger.dropStaleUrls();
    ledger.askForUrls(timings.urlAnswerMs);
    if (now() - progressAt > timings.idleMs) idle.abort(new BackhaulError('upload_expired'));
  }, timings.urlCheckMs);
  try {
    // If it has changed since it was prepared, nothing of it need be sent.
    await file.assertUnchanged();
    const senders = Array.from({ length: partsAtOnce(settings, plan.chunkSize) }, () => send);
    const tasks = [readAhead, ...(prepared.resumed ? [reread] : []), ...senders];
    await together(tasks, { signal: AbortSignal.any([signal, idle.signal]) });
    requireSameParts(prepared, read);
  } finally {
    clearInterval(care);
  }
}

/** More parts side by side than its own rate carries only keep places from other uploads, each for so much longer. */
function partsAtOnce({ parallelParts, ownRate = Infinity }: TransferSettings, partBytes: number): number {
  const carried = Math.floor((ownRate * PART_MS) / 1000 / partBytes);
  return Math.max(1, Math.min(parallelParts, carried));
}
