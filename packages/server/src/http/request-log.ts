import type { IncomingMessage } from 'node:http';
import { type FastifyReply, type FastifyRequest, LogController } from 'fastify';

/**
 * One line for each request, once it is answered, where Fastify writes two, which are a seventh of what a small
 * request costs; the other one at level debug. What a handler logs before has the same `reqId`.
 */
export class RequestLog extends LogController {
  readonly #addressOf: (request: IncomingMessage) => string;

  /** @param addressOf Where a request comes from. */
  constructor(
    addressOf: (request: IncomingMessage) => string,
    options?: ConstructorParameters<typeof LogController>[0],
  ) {
    super(options);
    this.#addressOf = addressOf;
  }

  override incomingRequest(req: FastifyRequest): void {
    // Not described in vain: this comes with every request.
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

  /** No query: it may hold secrets. */
  #describe({ method, url, raw }: FastifyRequest): object {
    return { method, path: url.split('?', 1)[0], address: this.#addressOf(raw) };
  }
}
