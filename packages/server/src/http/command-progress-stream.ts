import {
  BackhaulError,
  COMMAND_PROBLEM_EVENT,
  COMMAND_PROGRESS_EVENT,
  COMMAND_RESULT_EVENT,
  type CommandAnswer,
  problemOf,
} from '@backhaul/protocol';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { EventStream } from './event-stream.ts';

/**
 * The response to a command: the result alone or, if the requester accepts an event stream and the command has reported
 * progress, the progress and the result as events. Until then the status still tells whether the command was refused.
 */
export class CommandProgressStream {
  readonly #request: FastifyRequest;
  readonly #reply: FastifyReply;
  readonly #isWanted: boolean;
  #stream: EventStream | undefined;
  #isSending = false;

  constructor(request: FastifyRequest, reply: FastifyReply) {
    this.#request = request;
    this.#reply = reply;
    this.#isWanted = request.headers.accept?.includes('text/event-stream') === true;
  }

  /** Drops the report if the reader has not read the previous one. */
  show(progress: unknown): void {
    if (!this.#isWanted || this.#isSending) return;
    this.#stream ??= new EventStream(this.#request, this.#reply);
    this.#isSending = true;
    void this.#stream.sendEvent(COMMAND_PROGRESS_EVENT, progress).finally(() => {
      this.#isSending = false;
    });
  }

  /** Returns what the route handler has to return. */
  async end(answer: CommandAnswer): Promise<CommandAnswer | FastifyReply> {
    if (this.#stream === undefined) return answer;
    return await this.#close(COMMAND_RESULT_EVENT, answer);
  }

  /** @throws The error itself if there is no stream yet. */
  async fail(error: unknown): Promise<FastifyReply> {
    if (this.#stream === undefined) throw error;
    const known = error instanceof BackhaulError ? error : new BackhaulError('internal_error');
    return await this.#close(COMMAND_PROBLEM_EVENT, problemOf(known));
  }

  async #close(event: string, data: unknown): Promise<FastifyReply> {
    await this.#stream?.sendEvent(event, data);
    this.#stream?.close();
    return this.#reply;
  }
}
