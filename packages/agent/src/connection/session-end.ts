import type { IncomingMessage } from 'node:http';
import {
  closeCodes,
  type ConnectionFault,
  type Problem,
  problemSchema,
  type RefusalReason,
} from '@backhaul/protocol';
import { type Backoff, fullJitter } from '../backoff.ts';

/** How a session ended, or why there was none. */
export type SessionEnd =
  | { readonly kind: 'no_token'; readonly detail: string }
  /** @property fault Null if nothing better than `detail` is known. */
  | { readonly kind: 'unreachable'; readonly detail: string; readonly fault: ConnectionFault | null }
  /** The server answered the upgrade with an HTTP status. */
  | {
      readonly kind: 'refused';
      readonly status: number;
      readonly retryAfterMs: number | null;
      /** What the answer's body says; null if it is none of a Backhaul server. */
      readonly problem: Pick<Problem, 'detail' | 'reason'> | null;
      /** Whether the next try is with another token. Default: no. */
      readonly hasOtherToken?: boolean;
    }
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
  { timings, random, clientId }: { timings: ReconnectTimings; random: () => number; clientId: string },
): Reconnect {
  const soon = fullJitter(failures, timings.backoff, random);
  const slowly = timings.slowMs * (0.5 + random());
  switch (end.kind) {
    case 'no_token':
      return { waitMs: slowly, level: 'error', advice: `no token: ${end.detail}` };
    case 'unreachable':
      return afterNoAnswer(end, { soon, slowly });
    case 'lost':
      return { waitMs: soon, level: 'warn', advice: `connection lost (${end.detail})` };
    case 'refused':
      return afterRefusal(end, { soon, slowly, random, clientId });
    case 'closed':
      return afterClose(end.code, { soon, slowly });
    default:
      return end satisfies never;
  }
}

function afterNoAnswer(
  { detail, fault }: Extract<SessionEnd, { kind: 'unreachable' }>,
  { soon, slowly }: { soon: number; slowly: number },
): Reconnect {
  if (fault === null) {
    const advice = `the server cannot be reached (${detail}); is --server-url right?`;
    return { waitMs: soon, level: 'warn', advice };
  }
  const advice = `the server cannot be reached: ${fault.sentence} (${detail})`;
  return fault.isLasting
    ? { waitMs: slowly, level: 'error', advice }
    : { waitMs: soon, level: 'warn', advice };
}

function afterRefusal(
  { status, retryAfterMs, problem, hasOtherToken = false }: Extract<SessionEnd, { kind: 'refused' }>,
  {
    soon,
    slowly,
    random,
    clientId,
  }: { soon: number; slowly: number; random: () => number; clientId: string },
): Reconnect {
  if (status === 401 && hasOtherToken) {
    const why = problem === null ? '' : `: ${detailOf(problem)}`;
    const advice = `the server refuses the token (HTTP 401)${why}; trying the other one, of --token-file or the state directory`;
    return { waitMs: soon, level: 'error', advice };
  }
  if (status === 401 || status === 403) {
    return { waitMs: slowly, level: 'error', advice: adviceAfterRefusal(status, problem, clientId) };
  }
  const said = problem === null ? '' : `; it says: ${detailOf(problem)}`;
  if (status === 503 || status === 429) {
    // Everyone was told the same time; the jitter keeps them from coming back at once.
    const asked = retryAfterMs === null ? 0 : Math.min(retryAfterMs, MAX_RETRY_AFTER_MS) * (1 + random() / 4);
    return {
      waitMs: asked + soon,
      level: 'warn',
      advice: `the server is not taking connections now (HTTP ${status})${said}`,
    };
  }
  if (status === 426) {
    return {
      waitMs: slowly,
      level: 'error',
      advice:
        'a proxy in front of the server does not pass on the WebSocket upgrade (HTTP 426); nginx needs proxy_http_version 1.1 and proxy_set_header Upgrade $http_upgrade and Connection "upgrade"',
    };
  }
  if (status === 407) {
    return {
      waitMs: slowly,
      level: 'error',
      advice: 'a proxy asks for a user name and password (HTTP 407): write them into HTTPS_PROXY',
    };
  }
  if (status === 400) {
    return {
      waitMs: slowly,
      level: 'error',
      advice: `HTTP 400: the server does not support this agent’s protocol (update the older of the two), or --server-url with ws:// leads to a port for TLS${said}`,
    };
  }
  if (status === 404 || (status >= 300 && status < 400)) {
    return {
      waitMs: slowly,
      level: 'error',
      advice: `HTTP ${status}: --server-url does not lead to a Backhaul server${said}`,
    };
  }
  return { waitMs: soon, level: 'warn', advice: `the server refused the connection (HTTP ${status})${said}` };
}

/** What the owner of this machine, or an operator, has to do. */
const refusalAdvice: Partial<Record<RefusalReason, string>> = {
  token_missing: 'a proxy on the way removes the header Authorization; let it pass',
  token_not_yet_valid: 'set the clock of the machine that made the token, or of the server',
  blocked: 'an operator has to lift it (backhaul unblock)',
  certificate: 'show the client certificate of this client_id',
};

function adviceAfterRefusal(
  status: number,
  problem: Pick<Problem, 'detail' | 'reason'> | null,
  clientId: string,
): string {
  const newOne = `ask an operator for a new one (backhaul token agent --client-id ${clientId}) and give it with --token-file, --token or BACKHAUL_TOKEN`;
  const advice =
    problem?.reason === 'token_replaced'
      ? `the renewed one is in the state directory of the agent that used it; if it is lost, ${newOne}`
      : (refusalAdvice[problem?.reason as RefusalReason] ?? newOne);
  if (problem === null) return `the server refuses the token (HTTP ${status}); ${advice}`;
  return `the server refuses this agent (HTTP ${status}): ${detailOf(problem)}; ${advice}`;
}

/** From the peer: cut, and the log escapes it. */
function detailOf({ detail }: Pick<Problem, 'detail'>): string {
  return detail.slice(0, MAX_DETAIL_LENGTH).replace(/\.$/, '');
}

const MAX_DETAIL_LENGTH = 300;

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
    case closeCodes.clientBlocked:
      return { waitMs: slowly, level: 'error', advice: 'an operator has blocked this client_id' };
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

/** A problem document is a few hundred bytes. */
const MAX_BODY_BYTES = 16 * 1024;
/** The server waits as long for it to be read. */
const READ_MS = 2000;

/** Codes that this agent does not know come from newer servers. */
const refusalSchema = problemSchema.pick({ detail: true, reason: true });

/** Why the server refused the upgrade. Never rejects: null for what is no problem document, or comes too slowly. */
export async function readProblem(
  response: IncomingMessage,
): Promise<Pick<Problem, 'detail' | 'reason'> | null> {
  if (response.headers['content-type']?.split(';', 1)[0] !== 'application/problem+json') return null;
  const timer = setTimeout(() => response.destroy(), READ_MS);
  const chunks: Buffer[] = [];
  let bytes = 0;
  try {
    for await (const chunk of response as AsyncIterable<Buffer>) {
      chunks.push(chunk);
      bytes += chunk.length;
      if (bytes > MAX_BODY_BYTES) return null;
    }
    return refusalSchema.parse(JSON.parse(Buffer.concat(chunks).toString('utf8')));
  } catch {
    return null;
  } finally {
    clearTimeout(timer);
  }
}
