import { BackhaulError } from '@backhaul/protocol';
import { together } from '../together.ts';
import { announceAhead } from './announce-ahead.ts';
import type { PreparedFile } from './prepare-file.ts';
import { requireShortEtag } from './require-short-etag.ts';
import { sendPart } from './send-part.ts';
import type { TransferTools } from './transfer-tools.ts';

interface UploadOptions {
  readonly tools: TransferTools;
  /** Each PUT beyond a part's first. */
  readonly onRetry: () => void;
  readonly signal: AbortSignal;
}

/** Sends all parts: a few PUTs side by side, one reader ahead of them, and an eye on the age of the URLs. */
export async function uploadParts(
  prepared: PreparedFile,
  { tools, onRetry, signal }: UploadOptions,
): Promise<void> {
  const { ledger, file, plan, window } = prepared;
  const { timings, now, link, settings } = tools;
  const idle = new AbortController();
  let progressAt = now();

  const sendTools = {
    put: { storage: tools.storage, rateLimit: tools.rateLimit },
    buffers: tools.buffers,
    puts: tools.puts,
    timings,
    now,
    random: tools.random,
    log: tools.log,
    link,
    withoutProgressMs: () => now() - progressAt,
    onRetry,
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
      }
    }
  };
  const readAhead = (signal: AbortSignal) => announceAhead(prepared, window, { signal });

  const care = setInterval(() => {
    ledger.dropStaleUrls();
    ledger.askForUrls(timings.urlAnswerMs);
    if (now() - progressAt > timings.idleMs) idle.abort(new BackhaulError('upload_expired'));
  }, timings.urlCheckMs);
  try {
    const senders = Array.from({ length: settings.parallelParts }, () => send);
    await together([readAhead, ...senders], { signal: AbortSignal.any([signal, idle.signal]) });
  } finally {
    clearInterval(care);
  }
}
