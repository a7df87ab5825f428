import {
  SCOPE_VERSION,
  TOKEN_ISSUER,
  type Scope,
  type TokenKind,
  scopes,
  tokenKinds,
} from '@backhaul/protocol';
import { SignJWT } from 'jose';

/** Signs tokens for tests; each field can be given a wrong value. */
export class TokenSigner {
  readonly secret: string;

  constructor(secret = 'a secret for tests that is long enough for HS256') {
    this.secret = secret;
  }

  agent(clientId: string): Promise<string> {
    return this.sign('agent', { subject: clientId });
  }

  operator(granted: readonly Scope[] = scopes): Promise<string> {
    const claims = { scope: granted.join(' '), scope_version: SCOPE_VERSION };
    return this.sign('operator', { subject: 'tester', claims });
  }

  /** Signs an operator token of 0.1.0, which a 0.1.0 server accepts. */
  operatorOfPreviousRelease(): Promise<string> {
    return this.sign('operator', { subject: 'tester', claims: { scope: 'read trigger admin' } });
  }

  sign(
    kind: TokenKind,
    token: {
      subject: string;
      claims?: Record<string, unknown>;
      /** Seconds since the epoch. */
      expiresAt?: number;
      /** Seconds since the epoch; by default now. */
      issuedAt?: number;
      issuer?: string;
    },
  ): Promise<string> {
    const now = Math.floor(Date.now() / 1000);
    return new SignJWT(token.claims ?? {})
      .setProtectedHeader({ alg: 'HS256', typ: tokenKinds[kind].type })
      .setIssuer(token.issuer ?? TOKEN_ISSUER)
      .setAudience(tokenKinds[kind].audience)
      .setSubject(token.subject)
      .setIssuedAt(token.issuedAt ?? Math.min(now, token.expiresAt ?? now))
      .setExpirationTime(token.expiresAt ?? now + 3600)
      .sign(new TextEncoder().encode(this.secret));
  }
}
