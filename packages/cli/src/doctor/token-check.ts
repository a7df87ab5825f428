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

const RENEW = 'Make a new one with "backhaul token operator" and set BACKHAUL_TOKEN.';
const SOON_MS = 10 * 60_000;

export interface TokenCheck {
  readonly findings: Finding[];
  /** What the token may do; empty if it cannot be read. */
  readonly scopes: readonly Scope[];
}

/** What can be told of a token without its key: whether it is one, for whom, and for how long yet. */
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
    return unusable(`The token from ${source} is an agent's; the command line needs an operator's.`);
  }
  const parsed = operatorClaimsSchema.safeParse(claims);
  if (!parsed.success) {
    // Servers with a public key or a JWKS take tokens from elsewhere, whose claims may be written otherwise.
    const detail = `The token from ${source} has not the claims that Backhaul's own tokens have.`;
    return { findings: [{ name: 'token', level: 'warning', detail, fix: RENEW }], scopes: [] };
  }
  const { sub, scope, exp } = parsed.data;
  const leftMs = exp * 1000 - now;
  if (leftMs <= 0) return unusable(`The token from ${source} expired ${readableDuration(-leftMs)} ago.`);
  const detail = `of ${sub} (${source}): ${scope.join(', ')}; expires in ${readableDuration(leftMs)}`;
  const findings: Finding[] = [
    leftMs < SOON_MS ? { name: 'token', level: 'warning', detail, fix: RENEW } : ok('token', detail),
  ];
  if (hasLegacyRead(parsed.data)) findings.push(legacyReadFinding());
  return { findings, scopes: scope };
}

/** How long a server still accepts it is the server's business. */
function legacyReadFinding(): Finding {
  const detail =
    'The token has no scope_version: its "read" includes content and metrics for 31 days after the server\'s upgrade at most.';
  return { name: 'scopes', level: 'warning', detail, fix: `${RENEW} Other issuers add "scope_version": 2.` };
}

function unusable(detail: string): TokenCheck {
  return { findings: [failed('token', detail, RENEW)], scopes: [] };
}
