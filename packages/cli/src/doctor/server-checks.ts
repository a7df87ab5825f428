import {
  ApiError,
  type BackhaulClient,
  ConnectionError,
  Deadline,
  faultIn,
  type Fetch,
  networkReason,
  toBaseUrl,
  UnexpectedAnswerError,
} from '@backhaul/client';
import type { Diagnosis, Finding, Opened } from '@backhaul/protocol';
import { UsageError } from '../errors.ts';
import { readableDuration } from '../readable.ts';
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

/** Reports the server's checks of its own dependencies. */
export async function checkReadiness(client: BackhaulClient, signal: AbortSignal): Promise<Finding[]> {
  try {
    const { ready, checks } = await client.readiness({ signal });
    const bad = Object.entries(checks).filter(([, check]) => !check.ok);
    if (ready) return [ok('ready', Object.keys(checks).join(', ') || 'the server is ready')];
    if (bad.length === 0) return [failed('ready', 'The server is not ready.', 'See the server log.')];
    return bad.map(([name, { detail }]) =>
      failed(`ready: ${name}`, detail ?? 'not ready', 'See the server log.'),
    );
  } catch (error) {
    return [failed('ready', explain(error), null)];
  }
}

/** Fetches the server's own diagnosis, which requires the scope `admin`. */
export async function fetchDiagnosis(
  client: BackhaulClient,
  signal: AbortSignal,
): Promise<{ readonly diagnosis: Opened<Diagnosis> | null; readonly findings: Finding[] }> {
  try {
    return { diagnosis: await client.diagnosis({ signal }), findings: [] };
  } catch (error) {
    if (error instanceof ApiError && error.code === 'forbidden') {
      const detail = "The server's own diagnosis requires the scope admin.";
      const fix = 'backhaul token operator --scope read,content,trigger,admin';
      return { diagnosis: null, findings: [{ name: 'server', level: 'info', detail, fix }] };
    }
    return { diagnosis: null, findings: [failed('server', explain(error), null)] };
  }
}

/** Expected errors become a finding; any other error ends the diagnosis. */
function explain(error: unknown): string {
  if (error instanceof ApiError) return error.detail;
  if (error instanceof ConnectionError || error instanceof UnexpectedAnswerError) return `${error.message}.`;
  throw error;
}
