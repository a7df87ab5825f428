import { createHash } from 'node:crypto';
import { type AgentClaims, SCOPE_VERSION, scopes, TOKEN_ISSUER, tokenKinds } from '@backhaul/protocol';
import { decodeJwt, SignJWT } from 'jose';
import type { Clock } from '../domain/ports/clock.ts';
import type { SessionToken } from '../domain/agents/session.ts';
import { isRenewedTokenId } from '../domain/agents/token-chain.ts';
import type { SignToken } from '../domain/agents/token-renewal.ts';
import type { Verified } from './token-verifier.ts';

/** @param token A verified token with these claims. */
export function readSessionToken(token: string, verified: Verified<AgentClaims>): SessionToken {
  const { iat: _issued, exp: _end, nbf: _start, jti, ...claims } = decodeJwt(token);
  return {
    id: isRenewedTokenId(jti) ? jti : hashOf(token),
    issuedAt: verified.iat * 1000,
    expiresAt: verified.exp * 1000,
    isOfPreviousSecret: verified.isOfPreviousSecret,
    claims,
  };
}

/** Signs with the current secret, also to renew a token of the previous one. */
export function renewedTokenSigner(secret: string): SignToken {
  const key = keyOf(secret);
  return ({ tokenId, issuedAt, expiresAt }, claims) =>
    new SignJWT({ ...claims })
      .setProtectedHeader({ alg: 'HS256', typ: tokenKinds.agent.type })
      .setJti(tokenId)
      .setIssuedAt(issuedAt / 1000)
      .setExpirationTime(expiresAt / 1000)
      .sign(key);
}

/** A token for an operator on this machine: every scope, with the maximum lifetime. */
export function signDevToken(secret: string, clock: Pick<Clock, 'now'>): Promise<string> {
  const { audience, type, maxAgeSeconds } = tokenKinds.operator;
  const issuedAt = Math.floor(clock.now() / 1000);
  return new SignJWT({ scope: scopes.join(' '), scope_version: SCOPE_VERSION })
    .setProtectedHeader({ alg: 'HS256', typ: type })
    .setIssuer(TOKEN_ISSUER)
    .setAudience(audience)
    .setSubject('dev')
    .setIssuedAt(issuedAt)
    .setExpirationTime(issuedAt + maxAgeSeconds)
    .sign(keyOf(secret));
}

function keyOf(secret: string): Uint8Array {
  return new TextEncoder().encode(secret);
}

/**
 * Hash of the signed content; the spelling of a signature may differ. Not the `jti`: other programs may give many
 * tokens the same one.
 */
function hashOf(token: string): string {
  const signed = token.slice(0, token.lastIndexOf('.'));
  return createHash('sha256').update(signed).digest('base64url');
}
