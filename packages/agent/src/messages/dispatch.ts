import { BackhaulError, type MessageSubject, type ServerMessage } from '@backhaul/protocol';
import { cancelUpload } from './cancel-upload.ts';
import { downloadFile } from './download-file.ts';
import type { AgentContext, Handler } from './handler.ts';
import { healthCheck } from './health-check.ts';
import { listDirectory } from './list-directory.ts';
import { partUrls } from './part-urls.ts';
import { prepareUpload } from './prepare-upload.ts';
import { renewToken } from './renew-token.ts';
import { serverError } from './server-error.ts';
import { welcome } from './welcome.ts';

/** One handler for everything a server can say: what is not here cannot be done to this machine. */
const handlers: { readonly [Action in ServerMessage['action']]: Handler<Action> } = {
  welcome,
  prepare_upload: prepareUpload,
  download_file: downloadFile,
  part_urls: partUrls,
  cancel_upload: cancelUpload,
  health_check: healthCheck,
  list_directory: listDirectory,
  renew_token: renewToken,
  error: serverError,
};

/** Answers of these may take a while, except of `health_check`; so many of them run at once. */
const MAX_COMMANDS = 8;

/** Passes each message to its handler; whatever goes wrong there stays there. */
export class Dispatcher {
  readonly #context: AgentContext;
  #commands = 0;

  constructor(context: AgentContext) {
    this.#context = context;
  }

  /** A message that cannot be read: the server waits for what would have come of it, so it is told that nothing will. */
  refuse(subject: MessageSubject, problem: string): void {
    const { log, transfers } = this.#context;
    const error = new BackhaulError('protocol_error', `The agent could not read a message: ${problem}`);
    log.warn({ ...subject, problem }, 'a message of the server could not be read');
    if ('command_id' in subject) answer(this.#context, subject.command_id, error);
    else transfers.fail(subject, error);
  }

  async dispatch(message: ServerMessage): Promise<void> {
    const { link, log, signal } = this.#context;
    const commandId = message.action !== 'error' && 'command_id' in message ? message.command_id : null;
    // It is asked for when other commands do not end.
    const counts = commandId !== null && message.action !== 'health_check';
    if (counts && this.#commands >= MAX_COMMANDS) {
      return answer(this.#context, commandId, new BackhaulError('too_many_requests'));
    }
    this.#commands += counts ? 1 : 0;
    try {
      await handle(message, this.#context);
    } catch (error) {
      if (signal.aborted) return;
      log.error({ action: message.action, error }, 'a message could not be handled');
      const known = error instanceof BackhaulError ? error : new BackhaulError('agent_fault');
      if (commandId !== null) answer(this.#context, commandId, known);
      else link.send({ status: 'error', code: known.code, message: known.message.slice(0, 2000) });
    } finally {
      this.#commands -= counts ? 1 : 0;
    }
  }
}

function handle<Action extends ServerMessage['action']>(
  message: ServerMessage & { action: Action },
  context: AgentContext,
): void | Promise<void> {
  // The table pairs each action with the handler of its messages; the type system cannot see that for a union.
  const handler = handlers[message.action] as Handler<ServerMessage['action']>;
  return handler(message, context);
}

function answer({ link }: AgentContext, commandId: string, { code, message }: BackhaulError): void {
  link.send({
    status: 'result',
    command_id: commandId,
    ok: false,
    error: code,
    message: message.slice(0, 2000),
  });
}
