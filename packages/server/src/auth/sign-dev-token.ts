import { scopes, TOKEN_ISSUER, tokenKinds } from '@backhaul/protocol';
import { SignJWT } from 'jose';
import type { Clock } from '../domain/ports/clock.ts';

/** A token for an operator on this machine: every scope, valid as long as one may be. */
export async function signDevToken(secret: string, clock: Clock): Promise<string> {
  const { audience, type, maxAgeSeconds } = tokenKinds.operator;
  const issuedAt = Math.floor(clock.now() / 1000);
  return await new SignJWT({ scope: scopes.join(' ') })
    .setProtectedHeader({ alg: 'HS256', typ: type })
    .setIssuer(TOKEN_ISSUER)
    .setAudience(audience)
    .setSubject('dev')
    .setIssuedAt(issuedAt)
    .setExpirationTime(issuedAt + maxAgeSeconds)
    .sign(new TextEncoder().encode(secret));
}
