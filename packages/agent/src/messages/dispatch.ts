import { BackhaulError, type ServerMessage } from '@backhaul/protocol';
import { cancelUpload } from './cancel-upload.ts';
import { downloadFile } from './download-file.ts';
import type { AgentContext, Handler } from './handler.ts';
import { healthCheck } from './health-check.ts';
import { listDirectory } from './list-directory.ts';
import { partUrls } from './part-urls.ts';
import { prepareUpload } from './prepare-upload.ts';
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
  error: serverError,
};

/** Answers of these may take a while; so many of them run at once. */
const MAX_COMMANDS = 8;

/** Passes each message to its handler; whatever goes wrong there stays there. */
export class Dispatcher {
  readonly #context: AgentContext;
  #commands = 0;

  constructor(context: AgentContext) {
    this.#context = context;
  }

  async dispatch(message: ServerMessage): Promise<void> {
    const { link, log, signal } = this.#context;
    const commandId = 'command_id' in message ? message.command_id : null;
    if (commandId !== null && this.#commands >= MAX_COMMANDS) {
      return answer(this.#context, commandId, new BackhaulError('too_many_requests'));
    }
    this.#commands += commandId === null ? 0 : 1;
    try {
      await handle(message, this.#context);
    } catch (error) {
      if (signal.aborted) return;
      log.error({ action: message.action, error }, 'a message could not be handled');
      const known = error instanceof BackhaulError ? error : new BackhaulError('agent_fault');
      if (commandId !== null) answer(this.#context, commandId, known);
      else link.send({ status: 'error', code: known.code, message: known.message.slice(0, 2000) });
    } finally {
      this.#commands -= commandId === null ? 0 : 1;
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
