import { BackhaulError, type MessageSubject, type ServerMessage } from '@backhaul/protocol';
import { cancelUpload } from './cancel-upload.ts';
import { downloadFile } from './download-file.ts';
import type { HandlerDeps, Handler } from './handler.ts';
import { healthCheck } from './health-check.ts';
import { listDirectory } from './list-directory.ts';
import { partUrls } from './part-urls.ts';
import { prepareUpload } from './prepare-upload.ts';
import { renewToken } from './renew-token.ts';
import { serverError } from './server-error.ts';
import { welcome } from './welcome.ts';

/** A handler for each action; the server can do nothing else on this machine. */
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

/** Maximum number of running commands, except `health_check`. */
const MAX_COMMANDS = 8;

/** Passes each message to its handler and contains the handler's errors. */
export class MessageRouter {
  readonly #deps: HandlerDeps;
  #commands = 0;

  constructor(deps: HandlerDeps) {
    this.#deps = deps;
  }

  /** Handles an invalid message: reports to the server, which waits for a result, that there will be none. */
  reject(subject: MessageSubject, problem: string): void {
    const { log, transfers } = this.#deps;
    const error = new BackhaulError('protocol_error', `The agent received an invalid message: ${problem}`);
    log.warn({ ...subject, problem }, 'invalid message from the server');
    if ('command_id' in subject) sendFailure(this.#deps, subject.command_id, error);
    else transfers.fail(subject, error);
  }

  async route(message: ServerMessage): Promise<void> {
    const { link, log, signal } = this.#deps;
    const commandId = message.action !== 'error' && 'command_id' in message ? message.command_id : null;
    // health_check must work while other commands hang.
    const counts = commandId !== null && message.action !== 'health_check';
    if (counts && this.#commands >= MAX_COMMANDS) {
      return sendFailure(this.#deps, commandId, new BackhaulError('too_many_requests'));
    }
    this.#commands += counts ? 1 : 0;
    try {
      await handle(message, this.#deps);
    } catch (error) {
      if (signal.aborted) return;
      log.error({ action: message.action, error }, 'failed to handle a message');
      const known = error instanceof BackhaulError ? error : new BackhaulError('agent_fault');
      if (commandId !== null) sendFailure(this.#deps, commandId, known);
      else link.send({ status: 'error', code: known.code, message: known.message.slice(0, 2000) });
    } finally {
      this.#commands -= counts ? 1 : 0;
    }
  }
}

function handle<Action extends ServerMessage['action']>(
  message: ServerMessage & { action: Action },
  deps: HandlerDeps,
): void | Promise<void> {
  // The table maps each action to the handler of its message; the type system cannot verify that for a union.
  const handler = handlers[message.action] as Handler<ServerMessage['action']>;
  return handler(message, deps);
}

function sendFailure({ link }: HandlerDeps, commandId: string, { code, message }: BackhaulError): void {
  link.send({
    status: 'result',
    command_id: commandId,
    ok: false,
    error: code,
    message: message.slice(0, 2000),
  });
}
