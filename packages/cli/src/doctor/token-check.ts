import {
  type Finding,
  hasLegacyRead,
  operatorClaimsSchema,
  type Scope,
  tokenKinds,
} from '@backhaul/protocol';
import { decodeJwt, decodeProtectedHeader } from 'jose';
import type { Setting } from '../config.ts';
import { readableDuration } from '../readable.ts';
import { failed, ok } from './client-checks.ts';

const RENEW = 'Create a new token with "backhaul token operator" and set BACKHAUL_TOKEN.';
const SOON_MS = 10 * 60_000;

export interface TokenCheck {
  readonly findings: Finding[];
  /** The scopes of the token; empty if it cannot be parsed. */
  readonly scopes: readonly Scope[];
}

/** Checks a token without its key: format, kind, claims and expiry. */
export function checkToken({ value, source }: Setting, now: number): TokenCheck {
  let type: unknown;
  let claims: unknown;
  try {
    type = decodeProtectedHeader(value).typ;
    claims = decodeJwt(value);
  } catch {
    return unusable(`The token from ${source} is not a JWT.`);
  }
  if (type === tokenKinds.agent.type) {
    return unusable(`The token from ${source} is an agent token; the command line needs an operator token.`);
  }
  const parsed = operatorClaimsSchema.safeParse(claims);
  if (!parsed.success) {
    // Servers with a public key or a JWKS accept tokens of other issuers, whose claims may differ.
    const detail = `The token from ${source} lacks the claims of a Backhaul token.`;
    return { findings: [{ name: 'token', level: 'warning', detail, fix: RENEW }], scopes: [] };
  }
  const { sub, scope, exp } = parsed.data;
  const leftMs = exp * 1000 - now;
  if (leftMs <= 0) return unusable(`The token from ${source} expired ${readableDuration(-leftMs)} ago.`);
  const detail = `${sub} (${source}): ${scope.join(', ')}; expires in ${readableDuration(leftMs)}`;
  const findings: Finding[] = [
    leftMs < SOON_MS ? { name: 'token', level: 'warning', detail, fix: RENEW } : ok('token', detail),
  ];
  if (hasLegacyRead(parsed.data)) findings.push(legacyReadFinding());
  return { findings, scopes: scope };
}

/** Each server decides for how long it still accepts such a token. */
function legacyReadFinding(): Finding {
  const detail =
    'The token has no scope_version: its "read" includes content and metrics only until 31 days after the server was upgraded.';
  return { name: 'scopes', level: 'warning', detail, fix: `${RENEW} Other issuers add "scope_version": 2.` };
}

function unusable(detail: string): TokenCheck {
  return { findings: [failed('token', detail, RENEW)], scopes: [] };
}
