import type { IncomingMessage } from 'node:http';
import Fastify, { type FastifyBaseLogger, type FastifyInstance } from 'fastify';
import { registerOpenApi } from './openapi.ts';
import { answerBrokenRequest, answerFrameworkError, takeJson } from './problem.ts';
import { RequestLog } from './request-log.ts';
import { type RouteTools, registerRoutes } from './routes.ts';
import { type TlsCertificateFiles, readTlsContext } from './tls-certificates.ts';

/** The handshake of TLS, and the headers of a request, have this long; milliseconds. */
const HEADERS_TIMEOUT_MS = 8000;
/** How often it is looked for requests that take too long. */
const CONNECTION_CHECK_MS = 1000;
/** Bodies of this API are a path and a reason. */
const MAX_BODY_BYTES = 64 * 1024;

export interface HttpServerOptions extends RouteTools {
  readonly logger: FastifyBaseLogger;
  readonly tls: TlsCertificateFiles | null;
}

/** Other upgrades, which some HTTP clients offer by themselves (`h2c`), are not taken; the request is answered as it is. */
function shouldUpgradeCallback(request: IncomingMessage): boolean {
  return request.headers.upgrade?.toLowerCase() === 'websocket';
}

/** Fastify with all routes, not yet listening. @throws TlsFilesError */
export async function createHttpServer(options: HttpServerOptions): Promise<FastifyInstance> {
  const { tls, logger } = options;
  // Not Fastify's `request.ip`, which takes a port for a part of the address.
  const addressOf = (request: IncomingMessage): string => options.services.addresses.of(request);
  const common = {
    loggerInstance: logger,
    logController: new RequestLog(addressOf, { requestIdLogLabel: 'request_id' }),
    bodyLimit: MAX_BODY_BYTES,
    // A client that sends nothing, or not all, holds no socket: headers and body have this long.
    requestTimeout: 30_000,
    routerOptions: { maxParamLength: 200 },
    // Idle keep-alive sockets must not hold up a shutdown.
    forceCloseConnections: 'idle' as const,
    // Fastify's own answer is no problem document; the routes' is.
    return503OnClosing: false,
    frameworkErrors: answerFrameworkError,
    clientErrorHandler: answerBrokenRequest,
  };
  const node = {
    shouldUpgradeCallback,
    headersTimeout: HEADERS_TIMEOUT_MS,
    connectionsCheckingInterval: CONNECTION_CHECK_MS,
  };
  const app: FastifyInstance =
    tls === null
      ? Fastify({ ...common, http: node })
      : Fastify({
          ...common,
          https: {
            ...node,
            handshakeTimeout: HEADERS_TIMEOUT_MS,
            ...readTlsContext(tls),
            // Operators come without a certificate; the gateway asks agents for theirs.
            ...(tls.clientCaFile === null ? {} : { requestCert: true, rejectUnauthorized: false }),
          },
        });
  options.connections.watch(app.server);
  // A browser must not take an answer, in which there may be words of agents, for a page or a script.
  // Hooks that wait for nothing are callbacks here: a promise for each costs every request several turns.
  app.addHook('onSend', (_request, reply, _payload, done) => {
    void reply.header('x-content-type-options', 'nosniff');
    done();
  });
  app.addHook('onRequest', ({ raw }, _reply, done) => {
    options.connections.cameFrom(raw.socket, addressOf(raw));
    done();
  });
  takeJson(app);
  await registerOpenApi(app);
  registerRoutes(app, options);
  return app;
}
