import type { IncomingMessage, Server } from 'node:http';
import { BackhaulError } from '@backhaul/protocol';
import Fastify, {
  type FastifyBaseLogger,
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
  LogController,
} from 'fastify';
import { serializerCompiler, validatorCompiler, type ZodTypeProvider } from 'fastify-type-provider-zod';
import { auditRefusals } from './audit-refusals.ts';
import { type AuthenticationDeps, registerAuthentication } from './authentication.ts';
import { registerOpenApi } from './openapi.ts';
import { registerProblems, sendBrokenRequestError, sendFrameworkError } from './problem.ts';
import type { Route, Services } from './route.ts';
import { listAudit } from './routes/audit.ts';
import { clientRoutes } from './routes/clients.ts';
import { eventRoutes } from './routes/events.ts';
import { operationRoutes } from './routes/operations.ts';
import { triggerDownload } from './routes/trigger-download.ts';
import { uploadRoutes } from './routes/uploads.ts';
import { readTlsContext, type TlsCertificateFiles } from './tls-certificates.ts';

const routes: readonly Route[] = [
  triggerDownload,
  ...uploadRoutes,
  ...eventRoutes,
  ...clientRoutes,
  ...operationRoutes,
  listAudit,
];

/** Time limit for the TLS handshake, and for the headers of a request; milliseconds. */
const HEADERS_TIMEOUT_MS = 8000;
/** Interval of the check for requests that take too long. */
const CONNECTION_CHECK_MS = 1000;
/** Bodies of this API are a path and a reason. */
const MAX_BODY_BYTES = 64 * 1024;

interface ApiDeps extends AuthenticationDeps {
  readonly services: Services;
}

interface HttpServerOptions extends ApiDeps {
  readonly logger: FastifyBaseLogger;
  readonly tls: TlsCertificateFiles | null;
}

export interface HttpServer {
  readonly app: FastifyInstance;
  /** Lets responses in progress finish, and closes all other connections. */
  readonly close: () => Promise<void>;
}

/** Creates the server with all routes, not yet listening. @throws TlsFilesError */
export async function createHttpServer(options: HttpServerOptions): Promise<HttpServer> {
  // Not Fastify's `request.ip`, which takes a port for a part of the address.
  const addressOf = (request: IncomingMessage): string => options.services.addresses.of(request);
  const app = createFastify(options, addressOf);
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
  const inflight = new InflightResponses(app.server);
  const close = async (): Promise<void> => {
    await Promise.all([app.close(), inflight.finish()]);
  };
  return { app, close };
}

function createFastify(
  { tls, logger }: HttpServerOptions,
  addressOf: (request: IncomingMessage) => string,
): FastifyInstance {
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
  if (tls === null) return Fastify({ ...common, http: node });
  return Fastify({
    ...common,
    https: {
      ...node,
      handshakeTimeout: HEADERS_TIMEOUT_MS,
      ...readTlsContext(tls),
      // Operators connect without a certificate; the gateway requires one from agents.
      ...(tls.clientCaFile === null ? {} : { requestCert: true, rejectUnauthorized: false }),
    },
  });
}

/** Other upgrades, which some HTTP clients offer by default (`h2c`), are ignored; the request is handled as it is. */
function shouldUpgradeCallback(request: IncomingMessage): boolean {
  return request.headers.upgrade?.toLowerCase() === 'websocket';
}

/**
 * Bodies are JSON only. An empty body counts as none, whatever its type: many HTTP libraries set one with every POST
 * and DELETE.
 */
function takeJson(app: FastifyInstance): void {
  const parse = app.getDefaultJsonParser('error', 'error');
  app.removeAllContentTypeParsers();
  app.addContentTypeParser<string>('application/json', { parseAs: 'string' }, (request, body, done) => {
    if (body === '') done(null, undefined);
    else void parse(request, body, done);
  });
}

/** Registers every path of the API. */
function registerRoutes(app: FastifyInstance, { services, ...authentication }: ApiDeps): void {
  app.setValidatorCompiler(validatorCompiler);
  app.setSerializerCompiler(serializerCompiler);
  registerProblems(app, auditRefusals(app, services));
  app.addHook('onRequest', (_request, _reply, done) => {
    done(services.shutdown.aborted ? new BackhaulError('shutting_down') : undefined);
  });
  registerAuthentication(app, authentication);
  for (const route of routes) route(app.withTypeProvider<ZodTypeProvider>(), services);
}

/** The API description without a running server, for the documentation. */
export async function buildOpenApi(): Promise<object> {
  const app = Fastify();
  await registerOpenApi(app);
  // Nothing is called: the routes are only registered.
  registerRoutes(app, {} as ApiDeps);
  await app.ready();
  const description = app.swagger();
  await app.close();
  return description;
}

/**
 * One line for each request after its response. Fastify's default is two, which cost a seventh of a small request's
 * time; the other one is logged at level debug. Lines of the handler have the same `reqId`.
 */
export class RequestLog extends LogController {
  readonly #addressOf: (request: IncomingMessage) => string;

  /** @param addressOf Returns the client address of a request. */
  constructor(
    addressOf: (request: IncomingMessage) => string,
    options?: ConstructorParameters<typeof LogController>[0],
  ) {
    super(options);
    this.#addressOf = addressOf;
  }

  override incomingRequest(req: FastifyRequest): void {
    // Checked first, because this runs for every request.
    if (req.log.level === 'debug' || req.log.level === 'trace') {
      req.log.debug(this.#describe(req), 'incoming request');
    }
  }

  override requestCompleted(error: Error | null | undefined, req: FastifyRequest, reply: FastifyReply): void {
    const durationMs = Math.round(reply.elapsedTime * 10) / 10;
    const fields = { ...this.#describe(req), status: reply.statusCode, durationMs };
    if (error) reply.log.error({ ...fields, err: error }, 'request errored');
    else reply.log.info(fields, 'request completed');
  }

  /** Without the query, which may contain secrets. */
  #describe({ method, url, raw }: FastifyRequest): object {
    return { method, path: url.split('?', 1)[0], address: this.#addressOf(raw) };
  }
}

/**
 * Tracks the requests of a server whose responses are not finished. A closing server must let these finish, and
 * nothing else: Node itself also waits for connections without any request, as browsers and health checks open them.
 */
export class InflightResponses {
  readonly #server: Server;
  readonly #responses = new Set<object>();
  #onEnded: (() => void) | undefined;

  constructor(server: Server) {
    this.#server = server;
    server.on('request', (_request, response) => {
      this.#responses.add(response);
      response.once('close', () => {
        this.#responses.delete(response);
        if (this.#responses.size === 0) this.#onEnded?.();
      });
    });
  }

  /**
   * Once the last response is finished, closes the remaining connections, and those that still arrive before the
   * server stops listening.
   */
  async finish(): Promise<void> {
    if (this.#responses.size > 0) {
      await new Promise<void>((resolve) => {
        this.#onEnded = resolve;
      });
    }
    this.#server.on('connection', (socket) => socket.destroy());
    this.#server.closeAllConnections();
  }
}
