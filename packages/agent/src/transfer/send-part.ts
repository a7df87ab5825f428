import { setTimeout as delay } from 'node:timers/promises';
import { crc32 } from 'node:zlib';
import { BackhaulError } from '@backhaul/protocol';
import { fullJitter } from '../backoff.ts';
import type { Link } from '../connection/server-link.ts';
import { crc32Base64 } from '../file/checksums.ts';
import type { OpenedFile } from '../file/open-file.ts';
import { type BufferPool, type Range, readSlices } from '../file/slices.ts';
import type { Part } from './part-ledger.ts';
import type { PutSlot } from './part-parallelism.ts';
import { type PutDeps, putPart, type PutResult } from './put-part.ts';
import type { PutFailure } from './storage-errors.ts';
import type { TransferDeps, TransferTimings } from './transfer-deps.ts';

export interface SendDeps extends PutDeps, Pick<TransferDeps, 'buffers' | 'puts' | 'random' | 'log'> {
  readonly timings: TransferTimings;
  /** Whether the store rejects a body whose checksum differs from the one that the URL is bound to. */
  readonly storeChecks: boolean;
  /**
   * Failures count only while the server is reachable; otherwise the outage probably has the same cause, and retries
   * continue. A connection can be dead long before its socket closes, so the time of the last received data counts.
   */
  readonly link: Pick<Link, 'heardAt' | 'probe'>;
  /** Time since the transfer stored a part. */
  readonly withoutProgressMs: () => number;
  /** Called for each PUT after the first of a part. */
  readonly onRetry: () => void;
  /** Called when a PUT failed and a retry is pending. */
  readonly onSetback: (setback: Setback) => void;
}

export interface Setback {
  /** Reported to the server, for operators. */
  readonly reason: string;
  /** Full detail, for the agent's own log. */
  readonly detail: string;
  /** Whether the network connection was lost. */
  readonly broke: boolean;
  readonly retryInMs: number;
}

export type SendOutcome = { readonly etag: string } | 'url_expired';

/**
 * Stores one part, with retries according to `storage-errors.ts`. All retries happen here.
 *
 * @throws BackhaulError that ends the upload.
 */
export async function sendPart(
  part: Part,
  file: OpenedFile,
  deps: SendDeps & { readonly signal: AbortSignal },
): Promise<SendOutcome> {
  const { timings, signal } = deps;
  let tries = part.failures;
  for (let earlierPuts = 0; ; earlierPuts += 1) {
    const attempt = await deps.puts.run(
      part.length,
      (slot) => putOnce(part, file, { ...deps, earlierPuts, slot }),
      { signal },
    );
    if (attempt === 'url_expired') return attempt;
    const { startedAt, result } = attempt;
    if (result.ok) return { etag: result.etag };
    const { failure } = result;
    deps.log.debug({ part: part.number, act: failure.act, detail: failure.detail }, 'PUT failed');
    if (failure.act === 'fresh_url') {
      countExpiredUrl(part, timings, failure);
      return 'url_expired';
    }
    if (failure.act !== 'retry_at_once') {
      requireRetryable(part, failure, timings);
      deps.link.probe();
      tries += 1;
      const jitterMs = fullJitter(tries, timings.backoff, deps.random);
      const waitMs = Math.max(jitterMs, 'afterMs' in failure ? failure.afterMs : 0);
      deps.onSetback(setbackOf(part, result, waitMs));
      await delay(waitMs, undefined, { signal });
      // After the delay, so that the response to the ping can arrive.
      if (failure.act === 'retry' && heardSince(startedAt, deps)) countFailure(part, failure, deps);
    } else if (result.broke) {
      deps.onSetback(setbackOf(part, result, 0));
    }
    deps.onRetry();
  }
}

function setbackOf(
  { number }: Part,
  { failure, broke }: Extract<PutResult, { ok: false }>,
  retryInMs: number,
): Setback {
  const { summary, detail } = failure;
  return { reason: `Part ${number}: ${summary}.`, detail, broke, retryInMs };
}

async function putOnce(
  part: Part,
  file: OpenedFile,
  {
    earlierPuts: tries,
    slot,
    signal,
    ...deps
  }: SendDeps & {
    readonly earlierPuts: number;
    readonly slot: PutSlot;
    readonly signal: AbortSignal;
  },
): Promise<{ readonly startedAt: number; readonly result: PutResult } | 'url_expired'> {
  const { url, checksums } = part;
  const { buffers, storeChecks } = deps;
  const startedAt = deps.now();
  if (url === null || checksums === null || url.staleAt <= startedAt) return 'url_expired';
  // Replacement of the file at its path is detected by the hashing and at the end.
  await file.assertUntouched();
  // After a digest error, the agent checks the bytes itself, to find out whether the file or the store is at fault.
  const expectedCrc32 = storeChecks && part.digestFailures === 0 ? null : checksums.crc32;
  const body = partBody(file, part, { expectedCrc32, buffers, signal });
  const result = await putPart(
    { url: url.url, headers: url.headers, length: part.length, body, slot, fresh: tries > 0, tries },
    deps,
    { signal },
  );
  return { startedAt, result };
}

function countExpiredUrl(part: Part, timings: TransferTimings, failure: PutFailure): void {
  part.expiredUrls += 1;
  if (part.expiredUrls <= timings.maxExpiredUrls) return;
  // Both can be corrected, and the server retries later.
  throw new BackhaulError(
    'storage_unavailable',
    `The store rejects every new URL of part ${part.number} as expired or not yet valid (${failure.summary}): synchronize the server's clock, or renew its temporary credentials.`,
    { cause: new Error(failure.detail) },
  );
}

type CountedFailure = Extract<PutFailure, { act: 'retry' | 'read_again' | 'give_up' }>;

/** Throws if the failure ends the upload, immediately or after repeated digest errors. */
function requireRetryable(part: Part, failure: CountedFailure, timings: TransferTimings): void {
  const about = `Part ${part.number}: the store responded with ${failure.summary}`;
  const cause = new Error(failure.detail);
  if (failure.act === 'give_up') throw new BackhaulError(failure.code, `${about}.`, { cause });
  if (failure.act !== 'read_again') return;
  part.digestFailures += 1;
  if (part.digestFailures >= timings.maxDigestFailures) {
    throw new BackhaulError(
      'checksum_mismatch',
      `${about}, ${part.digestFailures} times for unchanged bytes.`,
      { cause },
    );
  }
}

function heardSince(startedAt: number, { link }: SendDeps): boolean {
  return link.heardAt !== null && link.heardAt >= startedAt;
}

function countFailure(part: Part, failure: CountedFailure, { timings, withoutProgressMs }: SendDeps): void {
  part.failures += 1;
  if (part.failures < timings.maxFailures || withoutProgressMs() < timings.unavailableAfterMs) return;
  throw new BackhaulError(
    'storage_unavailable',
    `Part ${part.number} failed ${part.failures} times, most recently: ${failure.summary}.`,
    { cause: new Error(failure.detail) },
  );
}

interface PartBodyOptions {
  /** Announced CRC-32 in base64; null if the store is known to refuse bytes other than those that the URL is bound to. */
  readonly expectedCrc32: string | null;
  readonly buffers: BufferPool;
  readonly signal: AbortSignal;
}

/**
 * Reads one part slice by slice for sending. If a CRC-32 is expected, the last slice is held back until the whole part
 * matches it: a store that ignores checksums then receives a body that is too short, never a wrong one.
 *
 * A slice is valid until the next one is requested; by then its bytes must have been handed to the kernel.
 *
 * @throws BackhaulError `file_changed`
 */
export async function* partBody(
  file: OpenedFile,
  range: Range,
  { expectedCrc32, buffers, signal }: PartBodyOptions,
): AsyncGenerator<Buffer, void, void> {
  let crc = 0;
  let done = 0;
  for await (const slice of readSlices(file, range, { buffers, signal })) {
    done += slice.length;
    if (expectedCrc32 !== null) {
      crc = crc32(slice, crc);
      if (done === range.length && crc32Base64(crc) !== expectedCrc32) throw file.contentChanged();
    }
    yield slice;
  }
}
