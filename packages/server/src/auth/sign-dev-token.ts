import { SCOPE_VERSION, scopes, TOKEN_ISSUER, tokenKinds } from '@backhaul/protocol';
import { SignJWT } from 'jose';
import type { Clock } from '../domain/ports/clock.ts';

/** A token for an operator on this machine: every scope, with the maximum lifetime. */
export async function signDevToken(secret: string, clock: Pick<Clock, 'now'>): Promise<string> {
  const { audience, type, maxAgeSeconds } = tokenKinds.operator;
  const issuedAt = Math.floor(clock.now() / 1000);
  return await new SignJWT({ scope: scopes.join(' '), scope_version: SCOPE_VERSION })
    .setProtectedHeader({ alg: 'HS256', typ: type })
    .setIssuer(TOKEN_ISSUER)
    .setAudience(audience)
    .setSubject('dev')
    .setIssuedAt(issuedAt)
    .setExpirationTime(issuedAt + maxAgeSeconds)
    .sign(new TextEncoder().encode(secret));
}
