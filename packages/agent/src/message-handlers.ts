import {
  BackhaulError,
  type DiskUsage,
  type HealthReport,
  type MessageSubject,
  type ServerMessage,
  subjectOf,
} from '@backhaul/protocol';
import type { Link } from './connection/server-link.ts';
import type { RenewableToken } from './credentials/renewable-token.ts';
import { diskUsage } from './file/disk-usage.ts';
import { listDirectory } from './file/list-directory.ts';
import type { OpenDeps } from './file/open-file.ts';
import type { Log } from './log.ts';
import type { Transfers } from './transfer/transfers.ts';

/** Dependencies of the message handlers. None of them lets a message change the owner's policy. */
interface HandlerDeps {
  readonly link: Link;
  readonly transfers: Transfers;
  readonly open: OpenDeps;
  /** Null without a state directory for a renewed token. */
  readonly tokens: Pick<RenewableToken, 'store' | 'welcomed'> | null;
  readonly health: () => HealthReport;
  readonly log: Log;
  /** Aborted when the agent stops; of a command also when the server cancels it. */
  readonly signal: AbortSignal;
  /** Running commands by command_id. */
  readonly commands: ReadonlyMap<string, AbortController>;
}

/** Minimum time between two progress messages of a command. */
const PROGRESS_INTERVAL_MS = 1000;
/** `largest` of `disk_usage` if the server does not set it. */
const DEFAULT_LARGEST = 20;

/** Handles one kind of message. Must be idempotent. */
type Handler<Action extends ServerMessage['action']> = (
  message: Extract<ServerMessage, { action: Action }>,
  deps: HandlerDeps,
) => void | Promise<void>;

/** A handler for each action; the server can do nothing else on this machine. */
const handlers: { readonly [Action in ServerMessage['action']]: Handler<Action> } = {
  /** The session is open; the message lists which uploads continue. */
  async welcome(message, { transfers, tokens, log }) {
    const { session_id, epoch, server_version } = message;
    log.info({ session_id, epoch, server_version }, 'connected');
    transfers.setProgressInterval(message.progress_interval_ms);
    await Promise.all([tokens?.welcomed(), transfers.applyDecisions(message.uploads)]);
  },

  /** Opens the file and hashes its first window; then sends `prepared` or `failed`. */
  prepare_upload: (message, { transfers }) => transfers.prepare(message),

  /** Starts a prepared upload. It sends `part_uploaded` messages, then `completed` or `failed`. */
  download_file: (message, { transfers }) => transfers.download(message),

  /** URLs requested with `parts_ready`; ignored if the upload has ended since. */
  part_urls: (message, { transfers }) => transfers.addUrls(message),

  /** Stops the upload and sends no further messages about it. */
  async cancel_upload(message, { transfers, log }) {
    const { upload_id, attempt, reason } = message;
    log.info({ upload_id, attempt, reason }, 'upload cancelled by the server');
    await transfers.cancel(message);
  },

  health_check({ command_id }, { link, health }) {
    link.send({ status: 'result', command_id, ok: true, data: health() });
  },

  async list_directory({ command_id, path, prefix, cursor, limit }, deps) {
    const { link, open, log, signal } = deps;
    try {
      const data = await listDirectory(path, open, { prefix, cursor, limit, signal });
      log.info({ command_id, path, entries: data.entries.length }, 'directory listed');
      link.send({ status: 'result', command_id, ok: true, data });
    } catch (error) {
      if (!(error instanceof BackhaulError)) throw error;
      log.warn({ command_id, path, error: error.code }, 'failed to list the directory');
      sendFailure(deps, command_id, error);
    }
  },

  async disk_usage({ command_id, path, largest = DEFAULT_LARGEST }, deps) {
    const { link, open, log, signal } = deps;
    let progressAt = performance.now() + PROGRESS_INTERVAL_MS;
    const onProgress = ({ bytes, allocated_bytes, files, directories, unreadable }: DiskUsage) => {
      if (link.congested || performance.now() < progressAt) return;
      progressAt = performance.now() + PROGRESS_INTERVAL_MS;
      const data = { bytes, allocated_bytes, files, directories, unreadable };
      link.send({ status: 'command_progress', command_id, data });
    };
    try {
      const data = await diskUsage(path, open, { largest, signal, onProgress });
      log.info({ command_id, path, files: data.files, bytes: data.bytes }, 'disk usage determined');
      link.send({ status: 'result', command_id, ok: true, data });
    } catch (error) {
      if (!(error instanceof BackhaulError)) throw error;
      log.warn({ command_id, path, error: error.code }, 'failed to determine the disk usage');
      sendFailure(deps, command_id, error);
    }
  },

  /** Stops a command and sends no further messages about it. */
  cancel_command({ command_id }, { commands, log }) {
    const command = commands.get(command_id);
    if (command === undefined) return;
    log.info({ command_id }, 'command cancelled by the server');
    command.abort();
  },

  /** Confirms only once the token would survive a power failure, because the server then relies on it. */
  async renew_token({ renewal_id, token }, { link, tokens, log }) {
    // The server sends it only to agents that announced token renewal.
    if (tokens === null) return;
    await tokens.store(token);
    log.info({ renewal_id }, 'token renewed; the next connection uses the new one');
    link.send({ status: 'token_stored', renewal_id });
  },

  /** The server could not handle a frame. An upload that the frame was about ends, because there will be no response. */
  error(error, { log, transfers }) {
    const { code, message } = error;
    const subject = subjectOf(error);
    log.warn({ action: error.action, code, reason: message, ...subject }, 'the server reported an error');
    if (subject === null || 'command_id' in subject) return;
    transfers.endRefused(
      subject,
      new BackhaulError('protocol_error', `The server rejected a message: ${message}`),
    );
  },
};

/** Maximum number of running commands, except `health_check`. */
const MAX_COMMANDS = 8;

/** Passes each message to its handler and contains the handler's errors. */
export class MessageRouter {
  readonly #deps: HandlerDeps;
  readonly #commands = new Map<string, AbortController>();

  constructor(deps: Omit<HandlerDeps, 'commands'>) {
    this.#deps = { ...deps, commands: this.#commands };
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
    if (message.action === 'error' || message.action === 'cancel_command' || !('command_id' in message)) {
      return await this.#handle(message, this.#deps);
    }
    const { command_id: commandId, action } = message;
    // health_check must work while other commands hang.
    if (action === 'health_check') return await this.#handle(message, this.#deps, commandId);
    // Sent twice: its result is still to come.
    if (this.#commands.has(commandId)) return;
    if (this.#commands.size >= MAX_COMMANDS) {
      return sendFailure(this.#deps, commandId, new BackhaulError('too_many_requests'));
    }
    const cancelled = new AbortController();
    this.#commands.set(commandId, cancelled);
    const signal = AbortSignal.any([this.#deps.signal, cancelled.signal]);
    try {
      await this.#handle(message, { ...this.#deps, signal }, commandId);
    } finally {
      this.#commands.delete(commandId);
    }
  }

  async #handle(message: ServerMessage, deps: HandlerDeps, commandId: string | null = null): Promise<void> {
    const { link, log, signal } = deps;
    try {
      await handle(message, deps);
    } catch (error) {
      if (signal.aborted) return;
      log.error({ action: message.action, error }, 'failed to handle a message');
      const known = error instanceof BackhaulError ? error : new BackhaulError('agent_fault');
      if (commandId !== null) sendFailure(this.#deps, commandId, known);
      else link.send({ status: 'error', code: known.code, message: known.message.slice(0, 2000) });
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
