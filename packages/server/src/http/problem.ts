import { STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { TLSSocket } from 'node:tls';
import { BackhaulError, type ErrorCode, problemOf } from '@backhaul/protocol';
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { hasZodFastifySchemaValidationErrors, isResponseSerializationError } from 'fastify-type-provider-zod';
import { BucketError } from '../domain/ports/bucket.ts';
import { StoreError } from '../domain/ports/store.ts';

const RETRY_AFTER_SECONDS = 5;
/** Time that a refused client has to read the reason and close its side. */
const LINGER_MS = 2000;

/**
 * The only code that turns errors of routes into `application/problem+json`.
 *
 * @param onProblem Called for each request that fails on a route.
 */
export function registerProblems(
  app: FastifyInstance,
  onProblem: (request: FastifyRequest, error: BackhaulError) => void,
): void {
  app.setErrorHandler((error: FastifyError, request, reply) => {
    const known = toBackhaulError(error);
    if (known.code === 'internal_error') request.log.error({ err: error }, 'request failed');
    else request.log.info({ code: known.code }, 'request refused');
    onProblem(request, known);
    return sendProblem(reply, known);
  });
  const methodsOf = trackMethods(app);
  app.setNotFoundHandler((request, reply) => {
    const path = pathOf(request);
    const allowed = methodsOf(path);
    if (allowed.length === 0) {
      return sendProblem(reply, new BackhaulError('not_found', `There is nothing at ${path}.`));
    }
    void reply.header('allow', allowed.join(', '));
    const detail = `${path} supports ${allowed.join(' and ')}, not ${request.method}.`;
    return sendProblem(reply, new BackhaulError('method_not_allowed', detail));
  });
}

/**
 * Remembers the methods of each path as routes are registered, because Fastify treats a known path with a wrong
 * method like an unknown path.
 *
 * @returns the methods of a path; empty for one that does not exist.
 */
function trackMethods(app: FastifyInstance): (path: string) => string[] {
  const methods = new Map<string, { pattern: RegExp; methods: Set<string> }>();
  app.addHook('onRoute', ({ url, method }) => {
    const route = methods.get(url) ?? { pattern: patternOf(url), methods: new Set() };
    methods.set(url, route);
    for (const one of [method].flat()) route.methods.add(one);
  });
  return (path) =>
    [...methods.values()].flatMap((route) => (route.pattern.test(path) ? [...route.methods] : []));
}

/** `/uploads/:upload_id` matches `/uploads/x`, not `/uploads/x/y`. */
function patternOf(url: string): RegExp {
  const segments = url.split('/').map((segment) => {
    if (segment.startsWith(':')) return '[^/]+';
    return segment === '*' ? '.*' : RegExp.escape(segment);
  });
  return new RegExp(`^${segments.join('/')}$`);
}

/** Errors of Fastify before routing: a path that is not percent-encoded text, or too long. */
export function sendFrameworkError(error: FastifyError, _request: unknown, reply: FastifyReply): void {
  void sendProblem(reply, toBackhaulError(error));
}

/** Errors of Node before there is a request: no HTTP, too large, too late, or no TLS where it is required. */
export function sendBrokenRequestError(error: Error & { code?: string }, socket: Socket): void {
  // Already refused: whatever it has sent since is no request either.
  if (socket.writableEnded) return;
  // During the handshake no response is possible.
  const isHandshake = socket instanceof TLSSocket && socket.getFinished() === undefined;
  if (error.code === 'ECONNRESET' || !socket.writable || isHandshake) {
    socket.destroy();
    return;
  }
  const isLate = error.code === 'ERR_HTTP_REQUEST_TIMEOUT';
  refuseConnection(
    socket,
    new BackhaulError(
      'invalid_request',
      isLate ? 'The request did not arrive in time.' : 'Malformed or too large HTTP/1.1 request.',
    ),
  );
}

/**
 * Responds without the HTTP server, which has released this connection, and closes it. `end()` alone closes one half:
 * a client that keeps the other would hold the descriptor indefinitely. Destroying it immediately could reset it
 * before the client has read the response (RFC 9112, section 9.6), so what it still sends is read and discarded for a
 * moment.
 */
export function refuseConnection(socket: Duplex, error: BackhaulError): void {
  if (socket.destroyed || socket.writableEnded) return;
  const problem = problemOf(error);
  const body = JSON.stringify(problem);
  const headers = {
    'Content-Type': 'application/problem+json',
    'Content-Length': String(Buffer.byteLength(body)),
    Connection: 'close',
    ...adviceHeaders(problem.status),
  };
  const timer = setTimeout(() => socket.destroy(), LINGER_MS);
  socket.once('close', () => clearTimeout(timer));
  socket.resume();
  const head = [
    `HTTP/1.1 ${problem.status} ${STATUS_CODES[problem.status] ?? ''}`,
    ...Object.entries(headers).map(([name, value]) => `${name}: ${value}`),
  ];
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`);
}

function sendProblem(reply: FastifyReply, error: BackhaulError): FastifyReply {
  const problem = problemOf(error);
  return reply
    .code(problem.status)
    .headers(adviceHeaders(problem.status))
    .type('application/problem+json')
    .serializer(JSON.stringify)
    .send(problem);
}

/** Headers that tell the client what to do about a status. */
function adviceHeaders(status: number): Readonly<Record<string, string>> {
  if (status === 401) return { 'WWW-Authenticate': 'Bearer' };
  if (status === 429 || status === 503) return { 'Retry-After': String(RETRY_AFTER_SECONDS) };
  return {};
}

function pathOf(request: FastifyRequest): string {
  return request.url.split('?', 1)[0] ?? '';
}

/** Fastify's own errors, by their code (fastify, `lib/errors.js`). */
const fastifyCodes: Record<string, ErrorCode> = {
  FST_ERR_CTP_BODY_TOO_LARGE: 'payload_too_large',
  FST_ERR_CTP_INVALID_MEDIA_TYPE: 'unsupported_media_type',
  FST_ERR_CTP_EMPTY_JSON_BODY: 'invalid_request',
  FST_ERR_CTP_INVALID_JSON_BODY: 'invalid_request',
  FST_ERR_CTP_INVALID_CONTENT_LENGTH: 'invalid_request',
};

function toBackhaulError(error: FastifyError): BackhaulError {
  if (error instanceof BackhaulError) return error;
  if (hasZodFastifySchemaValidationErrors(error)) {
    const problems = error.validation.slice(0, 3).map((issue) => {
      const field = issue.instancePath.replace(/^\//, '').replaceAll('/', '.');
      return field === '' ? issue.message : `${field}: ${issue.message}`;
    });
    return new BackhaulError(
      'invalid_request',
      `The request's ${error.validationContext ?? 'input'}: ${problems.join('; ')}`,
    );
  }
  if (error instanceof StoreError)
    return new BackhaulError('database_unavailable', undefined, { cause: error });
  if (error instanceof BucketError) {
    const code = error.kind === 'unavailable' ? 'storage_unavailable' : 'storage_refused';
    return new BackhaulError(code, error.message, { cause: error });
  }
  if (isResponseSerializationError(error)) return new BackhaulError('internal_error');
  const code = fastifyCodes[error.code];
  if (code !== undefined) return new BackhaulError(code, error.message);
  const { statusCode } = error;
  if (statusCode !== undefined && statusCode >= 400 && statusCode < 500) {
    return new BackhaulError('invalid_request', error.message);
  }
  return new BackhaulError('internal_error', undefined, { cause: error });
}
