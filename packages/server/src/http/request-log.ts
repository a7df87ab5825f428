import { type FastifyReply, type FastifyRequest, LogController } from 'fastify';

/**
 * One line for each request, once it is answered, where Fastify writes two, which are a seventh of what a small
 * request costs; the other one at level debug. What a handler logs before has the same `reqId`.
 */
export class RequestLog extends LogController {
  override incomingRequest(req: FastifyRequest): void {
    req.log.debug({ req }, 'incoming request');
  }

  override requestCompleted(error: Error | null | undefined, req: FastifyRequest, reply: FastifyReply): void {
    const fields = { req, res: reply, responseTime: reply.elapsedTime };
    if (error) reply.log.error({ ...fields, err: error }, 'request errored');
    else reply.log.info(fields, 'request completed');
  }
}
