import { readFileSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import Fastify, { type FastifyBaseLogger, type FastifyInstance } from 'fastify';
import { registerOpenApi } from './openapi.ts';
import { answerBrokenRequest, answerFrameworkError, takeJson } from './problem.ts';
import { RequestLog } from './request-log.ts';
import { type RouteTools, registerRoutes } from './routes.ts';

/** Bodies of this API are a path and a reason. */
const MAX_BODY_BYTES = 64 * 1024;

export interface HttpServerOptions extends RouteTools {
  readonly logger: FastifyBaseLogger;
  readonly tls: {
    readonly certFile: string;
    readonly keyFile: string;
    readonly clientCaFile: string | null;
  } | null;
}

/** Other upgrades, which some HTTP clients offer by themselves (`h2c`), are not taken; the request is answered as it is. */
function shouldUpgradeCallback(request: IncomingMessage): boolean {
  return request.headers.upgrade?.toLowerCase() === 'websocket';
}

/** Fastify with all routes, not yet listening. */
export async function createHttpServer(options: HttpServerOptions): Promise<FastifyInstance> {
  const { tls, logger } = options;
  const common = {
    loggerInstance: logger,
    logController: new RequestLog(),
    bodyLimit: MAX_BODY_BYTES,
    // A client that sends nothing holds no socket: headers and body have this long.
    requestTimeout: 30_000,
    routerOptions: { maxParamLength: 200 },
    // Idle keep-alive sockets must not hold up a shutdown.
    forceCloseConnections: 'idle' as const,
    // Fastify's own answer is no problem document; the routes' is.
    return503OnClosing: false,
    frameworkErrors: answerFrameworkError,
    clientErrorHandler: answerBrokenRequest,
  };
  const app: FastifyInstance =
    tls === null
      ? Fastify({ ...common, http: { shouldUpgradeCallback } })
      : Fastify({
          ...common,
          https: {
            shouldUpgradeCallback,
            cert: readFileSync(tls.certFile),
            key: readFileSync(tls.keyFile),
            // Operators come without a certificate; the gateway asks agents for theirs.
            ...(tls.clientCaFile === null
              ? {}
              : { ca: readFileSync(tls.clientCaFile), requestCert: true, rejectUnauthorized: false }),
          },
        });
  takeJson(app);
  await registerOpenApi(app);
  registerRoutes(app, options);
  return app;
}
