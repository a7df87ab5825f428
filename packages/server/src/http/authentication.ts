import { BackhaulError, type OperatorClaims, type Scope } from '@backhaul/protocol';
import type { FastifyInstance } from 'fastify';
import type { LegacyRead } from '../auth/legacy-read.ts';
import { bearerToken } from '../auth/token-verifier.ts';
import type { UnauthenticatedConnections } from './connection-limits.ts';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Required scope; a route without one is open to everyone. */
    scope?: Scope;
    /** A route open to everyone returns more to tokens with this scope: {@link FastifyRequest.isInsider}. */
    insiderScope?: Scope;
  }
  interface FastifyRequest {
    /** Subject of the operator's token. */
    operator: string;
    /** Expiry of that token, in milliseconds since the epoch; 0 on a route that needs none. */
    tokenExpiresAt: number;
    /** Whether the request has a token with the route's `insiderScope`. */
    isInsider: boolean;
  }
}

export interface AuthenticationDeps {
  /** @throws BackhaulError `unauthorized` */
  readonly verifyOperator: (token: string) => Promise<OperatorClaims>;
  readonly connections: UnauthenticatedConnections;
  readonly legacyRead: Pick<LegacyRead, 'allows' | 'adviceFor'>;
}

/** Checks every request's token against its route's scope, before the body is read. */
export function registerAuthentication(
  app: FastifyInstance,
  { verifyOperator, connections, legacyRead }: AuthenticationDeps,
): void {
  app.decorateRequest('operator', '');
  app.decorateRequest('tokenExpiresAt', 0);
  app.decorateRequest('isInsider', false);
  app.addHook('onRequest', async (request) => {
    const { scope, insiderScope } = request.routeOptions.config;
    if (insiderScope !== undefined && request.headers.authorization !== undefined) {
      const isInsider = (claims: OperatorClaims): boolean => claims.scope.includes(insiderScope);
      try {
        request.isInsider = isInsider(await verifyOperator(bearerToken(request.headers, 'The request')));
      } catch {
        // Treated like a request without a token: a probe must not fail because of it.
      }
    }
    if (scope === undefined) return;
    const claims = await verifyOperator(bearerToken(request.headers, 'The request'));
    connections.authenticated(request.raw.socket);
    // Set before the scope is checked, so that a refusal is audited with its subject.
    request.operator = claims.sub;
    if (!legacyRead.allows(claims, scope)) {
      throw new BackhaulError(
        'forbidden',
        `This needs the scope "${scope}"; the token has "${claims.scope.join(' ')}".${legacyRead.adviceFor(claims, scope)}`,
      );
    }
    request.tokenExpiresAt = claims.exp * 1000;
  });
  // Without a token a connection serves only one request. With a body still to come, closing would cut off the body
  // and with it the response.
  app.addHook('onSend', ({ raw, headers }, reply, _payload, done) => {
    const hasBody = headers['content-length'] !== undefined || headers['transfer-encoding'] !== undefined;
    if (!hasBody && connections.has(raw.socket)) void reply.header('connection', 'close');
    done();
  });
}
