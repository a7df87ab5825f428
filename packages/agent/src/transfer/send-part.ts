import { setTimeout as delay } from 'node:timers/promises';
import { BackhaulError } from '@backhaul/protocol';
import { fullJitter } from '../backoff.ts';
import type { BufferPool } from '../file/buffer-pool.ts';
import type { OpenedFile } from '../file/open-file.ts';
import { partBody } from '../file/part-body.ts';
import type { Link } from '../connection/link.ts';
import type { Log } from '../log.ts';
import type { Part } from './part-ledger.ts';
import type { PartInFlight } from './part-parallelism.ts';
import type { PutQueue } from './put-queue.ts';
import { type PutResult, type PutTools, putPart } from './put-part.ts';
import type { Verdict } from './storage-errors.ts';
import type { TransferTimings } from './timings.ts';

export interface SendTools {
  readonly put: Omit<PutTools, 'timings' | 'now'>;
  readonly buffers: BufferPool;
  /** Whether the store refuses a body with another checksum than the one its URL is bound to. */
  readonly storeChecks: boolean;
  readonly puts: PutQueue;
  readonly timings: TransferTimings;
  readonly now: () => number;
  readonly random: () => number;
  readonly log: Log;
  /**
   * With no server there is nobody to report a failure to, and the outage is likely the same: keep trying. A line
   * can be dead for long before its socket is, so what counts is what was heard.
   */
  readonly link: Pick<Link, 'heardAt' | 'probe'>;
  /** How long the transfer has stored no part. */
  readonly withoutProgressMs: () => number;
  /** Each PUT beyond a part's first. */
  readonly onRetry: () => void;
  /** A PUT failed, and the next waits. */
  readonly onSetback: (setback: Setback) => void;
}

export interface Setback {
  /** For people at the server. */
  readonly reason: string;
  /** For the agent's own log: all that is known. */
  readonly detail: string;
  /** Whether it was the line that broke. */
  readonly broke: boolean;
  readonly retryInMs: number;
}

export type SendOutcome = { readonly etag: string } | 'url_expired';

/**
 * Stores one part, with as many PUTs as the error table grants: the one place that retries.
 *
 * @throws BackhaulError with the code that ends the upload.
 */
export async function sendPart(
  part: Part,
  file: OpenedFile,
  tools: SendTools & { readonly signal: AbortSignal },
): Promise<SendOutcome> {
  const { timings, signal } = tools;
  let tries = part.failures;
  for (let earlierPuts = 0; ; earlierPuts += 1) {
    const attempt = await tools.puts.run(
      part.length,
      (place) => putOnce(part, file, { ...tools, earlierPuts, place }),
      { signal },
    );
    if (attempt === 'url_expired') return attempt;
    const { begunAt, result } = attempt;
    if (result.ok) return { etag: result.etag };
    const { verdict } = result;
    tools.log.debug({ part: part.number, act: verdict.act, detail: verdict.detail }, 'PUT did not succeed');
    if (verdict.act === 'fresh_url') {
      countExpiredUrl(part, timings, verdict);
      return 'url_expired';
    }
    if (verdict.act !== 'retry_at_once') {
      judgeFailure(part, verdict, timings);
      tools.link.probe();
      tries += 1;
      const jitterMs = fullJitter(tries, timings.backoff, tools.random);
      const waitMs = Math.max(jitterMs, 'afterMs' in verdict ? verdict.afterMs : 0);
      tools.onSetback(setbackOf(part, result, waitMs));
      await delay(waitMs, undefined, { signal });
      // Only now, so that the server had the time to show that it is there.
      if (verdict.act === 'retry' && heardSince(begunAt, tools)) countFailure(part, verdict, tools);
    } else if (result.broke) {
      tools.onSetback(setbackOf(part, result, 0));
    }
    tools.onRetry();
  }
}

function setbackOf(
  { number }: Part,
  { verdict, broke }: Extract<PutResult, { ok: false }>,
  retryInMs: number,
): Setback {
  const { summary, detail } = verdict;
  return { reason: `Part ${number}: ${summary}.`, detail, broke, retryInMs };
}

async function putOnce(
  part: Part,
  file: OpenedFile,
  {
    earlierPuts: tries,
    place,
    signal,
    ...tools
  }: SendTools & {
    readonly earlierPuts: number;
    readonly place: PartInFlight;
    readonly signal: AbortSignal;
  },
): Promise<{ readonly begunAt: number; readonly result: PutResult } | 'url_expired'> {
  const { url, checksums } = part;
  const { timings, buffers, storeChecks } = tools;
  const begunAt = tools.now();
  if (url === null || checksums === null || url.staleAt <= begunAt) return 'url_expired';
  // Whether another file has taken its place is seen by who reads ahead, and at the end.
  await file.assertUntouched();
  // Once it has refused the part, whether the file or the store is to blame has to be found out here.
  const expectedCrc32 = storeChecks && part.digestFailures === 0 ? null : checksums.crc32;
  const body = partBody(file, part, { expectedCrc32, buffers, signal });
  const result = await putPart(
    { url: url.url, headers: url.headers, length: part.length, body, place, fresh: tries > 0, tries },
    { ...tools.put, timings, now: tools.now },
    { signal },
  );
  return { begunAt, result };
}

function countExpiredUrl(part: Part, timings: TransferTimings, verdict: Verdict): void {
  part.expiredUrls += 1;
  if (part.expiredUrls <= timings.maxExpiredUrls) return;
  // Both are put right at some time, and the server waits for that.
  throw new BackhaulError(
    'storage_unavailable',
    `The store refuses every fresh URL of part ${part.number} as expired or not valid yet (${verdict.summary}): synchronise the server's clock, or renew its credentials if they are temporary.`,
    { cause: new Error(verdict.detail) },
  );
}

type CountedVerdict = Extract<Verdict, { act: 'retry' | 'read_again' | 'give_up' }>;

/** What ends the upload at once, or after a few times however the line is. */
function judgeFailure(part: Part, verdict: CountedVerdict, timings: TransferTimings): void {
  const about = `Part ${part.number}: the store answered ${verdict.summary}`;
  const cause = new Error(verdict.detail);
  if (verdict.act === 'give_up') throw new BackhaulError(verdict.code, `${about}.`, { cause });
  if (verdict.act !== 'read_again') return;
  part.digestFailures += 1;
  if (part.digestFailures >= timings.maxDigestFailures) {
    throw new BackhaulError(
      'checksum_mismatch',
      `${about}, ${part.digestFailures} times for unchanged bytes.`,
      { cause },
    );
  }
}

function heardSince(begunAt: number, { link }: SendTools): boolean {
  return link.heardAt !== null && link.heardAt >= begunAt;
}

function countFailure(part: Part, verdict: CountedVerdict, { timings, withoutProgressMs }: SendTools): void {
  part.failures += 1;
  if (part.failures < timings.maxFailures || withoutProgressMs() < timings.patienceMs) return;
  throw new BackhaulError(
    'storage_unavailable',
    `Part ${part.number} failed ${part.failures} times, last: ${verdict.summary}.`,
    { cause: new Error(verdict.detail) },
  );
}
