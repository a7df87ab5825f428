import type { IncomingMessage } from 'node:http';
import {
  closeCodes,
  type ConnectionFault,
  type Problem,
  problemSchema,
  type RefusalReason,
} from '@backhaul/protocol';
import { type Backoff, fullJitter } from '../backoff.ts';

/** How a connection ended, or why none was established. */
export type ConnectionEnd =
  | { readonly kind: 'no_token'; readonly detail: string }
  /** @property fault Null if the cause is not known beyond `detail`. */
  | { readonly kind: 'unreachable'; readonly detail: string; readonly fault: ConnectionFault | null }
  /** The server rejected the upgrade with an HTTP status. */
  | {
      readonly kind: 'refused';
      readonly status: number;
      readonly retryAfterMs: number | null;
      /** From the response body; null if it is not a problem document. */
      readonly problem: Pick<Problem, 'detail' | 'reason'> | null;
      /** Whether the next attempt uses another token. Default: false. */
      readonly hasOtherToken?: boolean;
    }
  /** @property sessionMs Duration of the session, 0 without one. */
  | { readonly kind: 'closed'; readonly code: number; readonly sessionMs: number }
  | { readonly kind: 'lost'; readonly detail: string; readonly sessionMs: number };

export interface ReconnectTimings {
  readonly backoff: Backoff;
  /** The backoff is reset only after a session of at least this duration. */
  readonly stableMs: number;
  /** Retry interval if a person has to change something first. */
  readonly slowMs: number;
}

export const defaultReconnectTimings: ReconnectTimings = {
  backoff: { baseMs: 1000, capMs: 30_000 },
  stableMs: 30_000,
  slowMs: 60_000,
};

/** Maximum accepted Retry-After, in case the server's value is wrong. */
const MAX_RETRY_AFTER_MS = 600_000;

export interface Reconnect {
  readonly waitMs: number;
  /** What happened, and what to change if it needs a person. */
  readonly advice: string;
  readonly level: 'info' | 'warn' | 'error';
}

/** @param failures Number of consecutive failures before this one. */
export function planReconnect(
  end: ConnectionEnd,
  failures: number,
  { timings, random, clientId }: { timings: ReconnectTimings; random: () => number; clientId: string },
): Reconnect {
  const soon = fullJitter(failures, timings.backoff, random);
  const slowly = timings.slowMs * (0.5 + random());
  switch (end.kind) {
    case 'no_token':
      return { waitMs: slowly, level: 'error', advice: `no token: ${end.detail}` };
    case 'unreachable':
      return afterUnreachable(end, { soon, slowly });
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

function afterUnreachable(
  { detail, fault }: Extract<ConnectionEnd, { kind: 'unreachable' }>,
  { soon, slowly }: { soon: number; slowly: number },
): Reconnect {
  if (fault === null) {
    const advice = `the server cannot be reached (${detail}); check --server-url`;
    return { waitMs: soon, level: 'warn', advice };
  }
  const advice = `the server cannot be reached: ${fault.sentence} (${detail})`;
  return fault.isLasting
    ? { waitMs: slowly, level: 'error', advice }
    : { waitMs: soon, level: 'warn', advice };
}

function afterRefusal(
  { status, retryAfterMs, problem, hasOtherToken = false }: Extract<ConnectionEnd, { kind: 'refused' }>,
  {
    soon,
    slowly,
    random,
    clientId,
  }: { soon: number; slowly: number; random: () => number; clientId: string },
): Reconnect {
  if (status === 401 && hasOtherToken) {
    const reason = problem === null ? '' : `: ${detailOf(problem)}`;
    const advice = `the server rejected the token (HTTP 401)${reason}; trying the other token (--token-file or state directory)`;
    return { waitMs: soon, level: 'error', advice };
  }
  if (status === 401 || status === 403) {
    return { waitMs: slowly, level: 'error', advice: adviceAfterRefusal(status, problem, clientId) };
  }
  const serverMessage = problem === null ? '' : `; server message: ${detailOf(problem)}`;
  if (status === 503 || status === 429) {
    // All clients received the same time; the jitter spreads their reconnects.
    const requestedMs =
      retryAfterMs === null ? 0 : Math.min(retryAfterMs, MAX_RETRY_AFTER_MS) * (1 + random() / 4);
    return {
      waitMs: requestedMs + soon,
      level: 'warn',
      advice: `the server is not accepting connections at the moment (HTTP ${status})${serverMessage}`,
    };
  }
  if (status === 426) {
    return {
      waitMs: slowly,
      level: 'error',
      advice:
        'a proxy in front of the server does not forward the WebSocket upgrade (HTTP 426); nginx needs proxy_http_version 1.1 and proxy_set_header Upgrade $http_upgrade and Connection "upgrade"',
    };
  }
  if (status === 407) {
    return {
      waitMs: slowly,
      level: 'error',
      advice: 'a proxy asks for a user name and password (HTTP 407): set them in HTTPS_PROXY',
    };
  }
  if (status === 400) {
    return {
      waitMs: slowly,
      level: 'error',
      advice: `HTTP 400: the server does not support this agent’s protocol (update the older of the two), or --server-url with ws:// points to a TLS port${serverMessage}`,
    };
  }
  if (status === 404 || (status >= 300 && status < 400)) {
    return {
      waitMs: slowly,
      level: 'error',
      advice: `HTTP ${status}: --server-url does not point to a Backhaul server${serverMessage}`,
    };
  }
  return {
    waitMs: soon,
    level: 'warn',
    advice: `the server rejected the connection (HTTP ${status})${serverMessage}`,
  };
}

/** Action for the owner of this machine or an operator. */
const refusalAdvice: Partial<Record<RefusalReason, string>> = {
  token_missing: 'a proxy removes the Authorization header; configure it to forward the header',
  token_not_yet_valid: 'correct the clock of the machine that created the token, or of the server',
  blocked: 'an operator can remove the block with "backhaul unblock"',
  certificate: 'use the client certificate of this client_id (--client-cert, --client-key)',
};

function adviceAfterRefusal(
  status: number,
  problem: Pick<Problem, 'detail' | 'reason'> | null,
  clientId: string,
): string {
  const newToken = `ask an operator for a new one (backhaul token agent --client-id ${clientId}) and pass it with --token-file, --token or BACKHAUL_TOKEN`;
  const advice =
    problem?.reason === 'token_replaced'
      ? `the renewed token is in the state directory of the agent that received it; if it is lost, ${newToken}`
      : (refusalAdvice[problem?.reason as RefusalReason] ?? newToken);
  if (problem === null) return `the server rejected the token (HTTP ${status}); ${advice}`;
  return `the server rejected this agent (HTTP ${status}): ${detailOf(problem)}; ${advice}`;
}

/** Text from the peer: truncated here, escaped by the log. */
function detailOf({ detail }: Pick<Problem, 'detail'>): string {
  return detail.slice(0, MAX_DETAIL_LENGTH).replace(/\.$/, '');
}

const MAX_DETAIL_LENGTH = 300;

function afterClose(code: number, { soon, slowly }: { soon: number; slowly: number }): Reconnect {
  switch (code) {
    case closeCodes.replaced: {
      const advice =
        'another agent with the same client_id has connected and replaced this one; two machines must not share a --client-id or token';
      return { waitMs: slowly, level: 'error', advice };
    }
    case closeCodes.tokenExpired:
      return {
        waitMs: soon,
        level: 'info',
        advice: 'the token expired; reconnecting with a new one if available',
      };
    case closeCodes.clientForgotten:
      return { waitMs: slowly, level: 'warn', advice: 'the server has forgotten this client_id' };
    case closeCodes.clientBlocked:
      return { waitMs: slowly, level: 'error', advice: 'an operator has blocked this client_id' };
    case closeCodes.protocolViolation:
      return {
        waitMs: slowly,
        level: 'error',
        advice: 'the server closed the connection: protocol violation; update the agent or the server',
      };
    default:
      return { waitMs: soon, level: 'info', advice: `connection closed by the server (code ${code})` };
  }
}

/** A problem document is a few hundred bytes. */
const MAX_BODY_BYTES = 16 * 1024;
/** Maximum time to read the body. The server waits equally long. */
const READ_MS = 2000;

/** Without `code`: a newer server may send codes that this agent does not know. */
const refusalSchema = problemSchema.pick({ detail: true, reason: true });

/** Reads why the server rejected the upgrade. Never rejects: null if the body is no problem document or too slow. */
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
