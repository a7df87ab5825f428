import { Deadline, faultIn, type Fetch, networkReason, toBaseUrl } from '@backhaul/client';
import type { Finding } from '@backhaul/protocol';
import { readableDuration } from '../readable.ts';
import { UsageError } from '../usage-error.ts';
import { failed, ok } from './client-checks.ts';

const TIMEOUT_MS = 10_000;
const SKEW_WARNING_MS = 30_000;
/** S3 rejects signatures with a clock difference of 15 minutes; tokens fail earlier. */
const SKEW_ERROR_MS = 5 * 60_000;

/** Checks that the server responds to `/healthz`, which requires no token, and that the two clocks agree. */
export async function checkReach(
  url: string,
  { fetch, signal }: { fetch: Fetch; signal: AbortSignal },
): Promise<Finding[]> {
  const base = toBaseUrl(url);
  using deadline = new Deadline(TIMEOUT_MS, signal);
  const startedAt = performance.now();
  try {
    const response = await fetch(new URL('healthz', base), {
      signal: deadline.signal,
      redirect: 'manual',
    });
    await response.body?.cancel();
    const tookMs = performance.now() - startedAt;
    if (response.status !== 200) {
      const fix = 'Check that the URL is the address of a Backhaul server.';
      return [failed('reach', `${base.origin} responds to /healthz with status ${response.status}.`, fix)];
    }
    const reached = ok('reach', `${base.origin} responds in ${readableDuration(tookMs)}`);
    return [reached, ...checkClock(response.headers.get('date'), Date.now() - tookMs / 2)];
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof UsageError) throw error;
    const fault = deadline.expired ? null : faultIn(error);
    if (fault !== null) return [failed('reach', `${base.origin} cannot be reached: ${fault}.`, null)];
    const reason = deadline.expired ? `no response within ${TIMEOUT_MS / 1000} s` : networkReason(error);
    const detail = `${base.origin} cannot be reached${reason === undefined ? '' : ` (${reason})`}.`;
    return [failed('reach', detail, 'Check the URL, and that the server is running.')];
  }
}

/** @param now This machine's clock, in milliseconds, at the time when the server wrote the header. */
export function checkClock(date: string | null, now: number): Finding[] {
  const serverAt = date === null ? Number.NaN : Date.parse(date);
  if (Number.isNaN(serverAt)) return [];
  // The header is truncated to whole seconds.
  const skewMs = now - (serverAt + 500);
  const size = Math.abs(skewMs);
  if (size < SKEW_WARNING_MS) return [ok('clock', 'agrees with the server’s clock')];
  const detail = `This machine's clock is ${readableDuration(size)} ${skewMs > 0 ? 'ahead of' : 'behind'} the server's.`;
  const level = size < SKEW_ERROR_MS ? 'warning' : 'error';
  return [{ name: 'clock', level, detail, fix: 'Synchronise both clocks with NTP.' }];
}
