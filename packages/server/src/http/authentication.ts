import { BackhaulError, type OperatorClaims, type Scope } from '@backhaul/protocol';
import type { FastifyInstance } from 'fastify';
import { bearerToken } from '../auth/bearer-token.ts';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** What a token must allow; a route without it is open to anyone. */
    scope?: Scope;
  }
  interface FastifyRequest {
    /** Subject of the operator's token. */
    operator: string;
    /** When that token ends, in milliseconds since the epoch; 0 on a route that needs none. */
    tokenExpiresAt: number;
  }
}

/** Checks every request's token against its route's scope, before the body is read. */
export function registerAuthentication(
  app: FastifyInstance,
  verifyOperator: (token: string) => Promise<OperatorClaims>,
): void {
  app.decorateRequest('operator', '');
  app.decorateRequest('tokenExpiresAt', 0);
  app.addHook('onRequest', async (request) => {
    const { scope } = request.routeOptions.config;
    if (scope === undefined) return;
    const claims = await verifyOperator(bearerToken(request.headers, 'The request'));
    if (!claims.scope.includes(scope)) {
      throw new BackhaulError(
        'forbidden',
        `This needs the scope "${scope}"; the token has "${claims.scope.join(' ')}".`,
      );
    }
    request.operator = claims.sub;
    request.tokenExpiresAt = claims.exp * 1000;
  });
}
