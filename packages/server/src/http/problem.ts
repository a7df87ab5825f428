import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { BackhaulError, type ErrorCode, problemOf } from '@backhaul/protocol';
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { hasZodFastifySchemaValidationErrors, isResponseSerializationError } from 'fastify-type-provider-zod';
import { BucketError } from '../domain/ports/bucket.ts';
import { StoreError } from '../domain/ports/store.ts';
import { trackMethods } from './allowed-methods.ts';
import { refuseConnection } from './refuse-connection.ts';

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
 * Bodies are JSON only. An empty body counts as none, whatever its type: many HTTP libraries set one with every POST
 * and DELETE.
 */
export function takeJson(app: FastifyInstance): void {
  const parse = app.getDefaultJsonParser('error', 'error');
  app.removeAllContentTypeParsers();
  app.addContentTypeParser<string>('application/json', { parseAs: 'string' }, (request, body, done) => {
    if (body === '') done(null, undefined);
    else void parse(request, body, done);
  });
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

function sendProblem(reply: FastifyReply, error: BackhaulError): FastifyReply {
  const problem = problemOf(error);
  if (problem.status === 401) void reply.header('www-authenticate', 'Bearer');
  if (problem.status === 429 || problem.status === 503) void reply.header('retry-after', '5');
  return reply.code(problem.status).type('application/problem+json').serializer(JSON.stringify).send(problem);
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
