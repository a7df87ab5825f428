import {
  BackhaulError,
  boundedParse,
  type CommandName,
  type CommandParameters,
  type CommandProgress,
  type CommandProgressReport,
  type CommandResult,
  commands,
  isErrorCode,
  progressSchemaOf,
  type Result,
  unsupportedPart,
} from '@backhaul/protocol';
import { v7 as uuidv7 } from 'uuid';
import type { AgentSession, SessionRegistry } from './session.ts';

interface Pending {
  readonly session: AgentSession;
  readonly resolve: (result: Result) => void;
  readonly reject: (error: unknown) => void;
  readonly onProgress: (data: Record<string, unknown>) => void;
}

interface RunOptions<Name extends CommandName> {
  /** Ends the wait, and cancels the command at the agent if it can be cancelled. */
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: CommandProgress<Name>) => void;
}

/** Runs commands that are not uploads on a connected agent and waits for their `result`. */
export class CommandRunner {
  readonly #sessions: SessionRegistry;
  readonly #pending = new Map<string, Pending>();

  constructor(sessions: SessionRegistry) {
    this.#sessions = sessions;
  }

  /**
   * @throws BackhaulError `client_offline`, `not_supported`, `command_timeout`, `protocol_error` for a malformed
   *   result, or the agent's own code; the signal's reason.
   */
  async run<Name extends CommandName>(
    clientId: string,
    name: Name,
    parameters: CommandParameters<Name>,
    { signal, onProgress }: RunOptions<Name> = {},
  ): Promise<{ commandId: string; result: CommandResult<Name> }> {
    signal?.throwIfAborted();
    const session = this.#sessions.get(clientId);
    if (session === undefined) {
      throw new BackhaulError('client_offline', `Agent ${clientId} is not connected.`);
    }
    const unsupported = unsupportedPart(session.capabilities, name, parameters);
    if (unsupported !== undefined) {
      throw new BackhaulError(
        'not_supported',
        `Agent ${clientId} has version ${session.agentVersion}, which does not support ${unsupported}. Update it.`,
      );
    }
    const commandId = uuidv7();
    const result = await this.#wait(commandId, {
      name,
      session,
      signal,
      // The type system does not relate the schema picked by `name` to the type picked by `Name`.
      onProgress: (progress) => onProgress?.(progress as CommandProgress<Name>),
      send: () => session.send(toMessage(name, commandId, parameters)),
    });
    if (!result.ok) {
      const known = isErrorCode(result.error) ? result.error : 'agent_fault';
      throw new BackhaulError(known, result.message);
    }
    const parsed = boundedParse<CommandResult<CommandName>>(commands[name].result, result.data);
    if (!parsed.success) {
      throw new BackhaulError('protocol_error', `Agent ${clientId} sent a malformed result of ${name}.`);
    }
    return { commandId, result: parsed.data as CommandResult<Name> };
  }

  /**
   * Handles a `command_progress` from an agent. Responds with `cancel_command` to progress of an unknown command:
   * no request waits for it any more, for example because its agent was disconnected for a moment.
   */
  progress(session: AgentSession, { command_id, data }: CommandProgressReport): void {
    const pending = this.#pending.get(command_id);
    if (pending?.session === session) pending.onProgress(data);
    else session.send({ action: 'cancel_command', command_id });
  }

  /** Handles a `result` from an agent; ignores results of unknown commands or of another agent's. */
  complete(session: AgentSession, result: Result): void {
    const pending = this.#pending.get(result.command_id);
    if (pending?.session === session) pending.resolve(result);
  }

  /** Fails a command whose `result` could not be parsed, or which its agent could not parse. */
  fail(session: AgentSession, commandId: string, error: BackhaulError): void {
    const pending = this.#pending.get(commandId);
    if (pending?.session === session) pending.reject(error);
  }

  /** Fails all commands that wait for a disconnected agent. */
  sessionEnded(session: AgentSession): void {
    for (const pending of this.#pending.values()) {
      if (pending.session === session) {
        pending.reject(new BackhaulError('client_offline', `Agent ${session.clientId} disconnected.`));
      }
    }
  }

  async #wait(
    commandId: string,
    command: {
      readonly name: CommandName;
      readonly session: AgentSession;
      readonly signal: AbortSignal | undefined;
      readonly onProgress: (progress: unknown) => void;
      readonly send: () => void;
    },
  ): Promise<Result> {
    const { name, session, signal, send } = command;
    const { promise, resolve, reject } = Promise.withResolvers<Result>();
    const progressSchema = progressSchemaOf(name);
    const giveUp = (reason: unknown) => {
      if (progressSchema !== null) session.send({ action: 'cancel_command', command_id: commandId });
      reject(reason);
    };
    const { timeoutMs } = commands[name];
    const onTimeout = () => {
      const message = `Agent ${session.clientId} did not respond in ${timeoutMs / 1000} s.`;
      giveUp(new BackhaulError('command_timeout', message));
    };
    let timer = setTimeout(onTimeout, timeoutMs);
    const onProgress = (data: Record<string, unknown>) => {
      const progress = progressSchema === null ? undefined : boundedParse<unknown>(progressSchema, data);
      if (progress?.success !== true) return;
      clearTimeout(timer);
      timer = setTimeout(onTimeout, timeoutMs);
      command.onProgress(progress.data);
    };
    const onAbort = () => giveUp(signal?.reason);
    signal?.addEventListener('abort', onAbort, { once: true });
    this.#pending.set(commandId, { session, resolve, reject, onProgress });
    try {
      send();
      return await promise;
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
      this.#pending.delete(commandId);
    }
  }
}

function toMessage<Name extends CommandName>(
  name: Name,
  commandId: string,
  parameters: CommandParameters<Name>,
): Parameters<AgentSession['send']>[0] {
  // The unions of commands and of messages name the same pairs; TypeScript does not correlate them.
  return { action: name, command_id: commandId, ...parameters } as Parameters<AgentSession['send']>[0];
}
