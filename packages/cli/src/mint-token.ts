import {
  clientIdSchema,
  MIN_JWT_SECRET_BYTES,
  SCOPE_VERSION,
  type Scope,
  TOKEN_ISSUER,
  tokenKinds,
  type TokenKind,
} from '@backhaul/protocol';
import { SignJWT } from 'jose';
import type { Setting } from './config.ts';
import { readableDuration } from './readable.ts';
import { UsageError } from './usage-error.ts';

export type TokenRequest =
  | { readonly kind: 'agent'; readonly subject: string; readonly ttlSeconds: number }
  | {
      readonly kind: 'operator';
      readonly subject: string;
      readonly ttlSeconds: number;
      readonly scopes: readonly Scope[];
    };

/**
 * Creates a token signed with HS256 that a server with the same JWT_SECRET accepts.
 *
 * @param now Milliseconds since the epoch.
 * @throws UsageError if the secret is too short or the lifetime too long.
 */
export async function mintToken(request: TokenRequest, secret: Setting, now: number): Promise<string> {
  const key = new TextEncoder().encode(secret.value);
  if (key.length < MIN_JWT_SECRET_BYTES) {
    throw new UsageError(
      `JWT_SECRET (from ${secret.source}) has ${key.length} bytes; HS256 needs at least ${MIN_JWT_SECRET_BYTES}.`,
      'Set a longer JWT_SECRET for server and command line, e.g. the output of: openssl rand -base64 48',
    );
  }
  assertLifetime(request.kind, request.ttlSeconds);
  if (request.kind === 'agent') clientIdSchema.parse(request.subject);
  const { audience, type } = tokenKinds[request.kind];
  const issuedAt = Math.floor(now / 1000);
  const claims =
    request.kind === 'operator' ? { scope: request.scopes.join(' '), scope_version: SCOPE_VERSION } : {};
  return await new SignJWT(claims)
    .setProtectedHeader({ alg: 'HS256', typ: type })
    .setIssuer(TOKEN_ISSUER)
    .setAudience(audience)
    .setSubject(request.subject)
    .setIssuedAt(issuedAt)
    .setExpirationTime(issuedAt + request.ttlSeconds)
    .sign(key);
}

function assertLifetime(kind: TokenKind, ttlSeconds: number): void {
  const { maxAgeSeconds } = tokenKinds[kind];
  if (ttlSeconds <= maxAgeSeconds) return;
  throw new UsageError(
    `--ttl: the server refuses ${kind} tokens with a lifetime of more than ${readableDuration(maxAgeSeconds * 1000)}.`,
    'Use a shorter --ttl.',
  );
}
