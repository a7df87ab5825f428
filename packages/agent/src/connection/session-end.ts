import { closeCodes } from '@backhaul/protocol';
import { type Backoff, fullJitter } from '../backoff.ts';

/** How a session ended, or why there was none. */
export type SessionEnd =
  | { readonly kind: 'no_token'; readonly detail: string }
  | { readonly kind: 'unreachable'; readonly detail: string }
  /** The server answered the upgrade with an HTTP status. */
  | { readonly kind: 'refused'; readonly status: number; readonly retryAfterMs: number | null }
  | { readonly kind: 'closed'; readonly code: number; readonly heldMs: number }
  | { readonly kind: 'lost'; readonly detail: string; readonly heldMs: number };

export interface ReconnectTimings {
  readonly backoff: Backoff;
  /** A session that lasted this long was a success; only then does the backoff start over. */
  readonly steadyMs: number;
  /** Between tries that need somebody to change something first. */
  readonly slowMs: number;
}

export const defaultReconnectTimings: ReconnectTimings = {
  backoff: { baseMs: 1000, capMs: 30_000 },
  steadyMs: 30_000,
  slowMs: 60_000,
};

/** However long a server asks to stay away: it may be wrong about itself. */
const MAX_RETRY_AFTER_MS = 600_000;

export interface Reconnect {
  readonly waitMs: number;
  /** What happened, and what to change if that needs a person. */
  readonly advice: string;
  readonly level: 'info' | 'warn' | 'error';
}

/** @param failures Sessions in a row that did not last, before this one. */
export function planReconnect(
  end: SessionEnd,
  failures: number,
  { timings, random }: { timings: ReconnectTimings; random: () => number },
): Reconnect {
  const soon = fullJitter(failures, timings.backoff, random);
  const slowly = timings.slowMs * (0.5 + random());
  switch (end.kind) {
    case 'no_token':
      return { waitMs: slowly, level: 'error', advice: `no token: ${end.detail}` };
    case 'unreachable':
      return {
        waitMs: soon,
        level: 'warn',
        advice: `the server cannot be reached (${end.detail}); is --server-url right?`,
      };
    case 'lost':
      return { waitMs: soon, level: 'warn', advice: `connection lost (${end.detail})` };
    case 'refused':
      return afterRefusal(end, { soon, slowly, random });
    case 'closed':
      return afterClose(end.code, { soon, slowly });
    default:
      return end satisfies never;
  }
}

function afterRefusal(
  { status, retryAfterMs }: Extract<SessionEnd, { kind: 'refused' }>,
  { soon, slowly, random }: { soon: number; slowly: number; random: () => number },
): Reconnect {
  if (status === 401 || status === 403) {
    const advice = `the server refuses the token (HTTP ${status}); give a valid one with --token-file, --token or BACKHAUL_TOKEN`;
    return { waitMs: slowly, level: 'error', advice };
  }
  if (status === 503 || status === 429) {
    // Everyone was told the same time; the jitter keeps them from coming back at once.
    const asked = retryAfterMs === null ? 0 : Math.min(retryAfterMs, MAX_RETRY_AFTER_MS) * (1 + random() / 4);
    return {
      waitMs: asked + soon,
      level: 'warn',
      advice: `the server is not taking connections now (HTTP ${status})`,
    };
  }
  if (status === 400) {
    return {
      waitMs: slowly,
      level: 'error',
      advice: 'the server does not speak this agent’s protocol (HTTP 400); update the older of the two',
    };
  }
  if (status === 404 || (status >= 300 && status < 400)) {
    return {
      waitMs: slowly,
      level: 'error',
      advice: `HTTP ${status}: --server-url does not lead to a Backhaul server`,
    };
  }
  return { waitMs: soon, level: 'warn', advice: `the server refused the connection (HTTP ${status})` };
}

function afterClose(code: number, { soon, slowly }: { soon: number; slowly: number }): Reconnect {
  switch (code) {
    case closeCodes.replaced: {
      const advice =
        'another agent has connected with the same client_id and replaced this one; two machines must not share a --client-id or token';
      return { waitMs: slowly, level: 'error', advice };
    }
    case closeCodes.tokenExpired:
      return {
        waitMs: soon,
        level: 'info',
        advice: 'the token expired; connecting with a fresh one if there is one',
      };
    case closeCodes.clientForgotten:
      return { waitMs: slowly, level: 'warn', advice: 'the server has forgotten this client_id' };
    case closeCodes.protocolViolation:
      return {
        waitMs: slowly,
        level: 'error',
        advice: 'the server finds this agent breaks the protocol; update one of them',
      };
    default:
      return { waitMs: soon, level: 'info', advice: `connection closed by the server (code ${code})` };
  }
}
