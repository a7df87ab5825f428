import type { IncomingMessage } from 'node:http';
import Fastify, { type FastifyBaseLogger, type FastifyInstance } from 'fastify';
import { registerOpenApi } from './openapi.ts';
import { sendBrokenRequestError, sendFrameworkError, takeJson } from './problem.ts';
import { RequestLog } from './request-log.ts';
import { type RouteTools, registerRoutes } from './routes.ts';
import { type TlsCertificateFiles, readTlsContext } from './tls-certificates.ts';

/** Time limit for the TLS handshake, and for the headers of a request; milliseconds. */
const HEADERS_TIMEOUT_MS = 8000;
/** Interval of the check for requests that take too long. */
const CONNECTION_CHECK_MS = 1000;
/** Bodies of this API are a path and a reason. */
const MAX_BODY_BYTES = 64 * 1024;

export interface HttpServerOptions extends RouteTools {
  readonly logger: FastifyBaseLogger;
  readonly tls: TlsCertificateFiles | null;
}

/** Other upgrades, which some HTTP clients offer by default (`h2c`), are ignored; the request is handled as it is. */
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
    // A client that sends nothing or too little must not hold a socket: time limit for headers and body.
    requestTimeout: 30_000,
    routerOptions: { maxParamLength: 200 },
    // Idle keep-alive sockets must not delay a shutdown.
    forceCloseConnections: 'idle' as const,
    // Fastify's own response is not a problem document; the routes' is.
    return503OnClosing: false,
    frameworkErrors: sendFrameworkError,
    clientErrorHandler: sendBrokenRequestError,
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
            // Operators connect without a certificate; the gateway requires one from agents.
            ...(tls.clientCaFile === null ? {} : { requestCert: true, rejectUnauthorized: false }),
          },
        });
  options.connections.watch(app.server);
  // A browser must not take a response, which may contain agents' text, for a page or a script.
  // Synchronous hooks are callbacks: a promise for each costs every request several turns of the event loop.
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
