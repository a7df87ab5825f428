import {
  BackhaulError,
  boundedParse,
  type CommandName,
  type CommandParameters,
  type CommandResult,
  commands,
  isErrorCode,
  type Result,
} from '@backhaul/protocol';
import { v7 as uuidv7 } from 'uuid';
import type { AgentSession, SessionRegistry } from './session.ts';

interface Pending {
  readonly session: AgentSession;
  readonly resolve: (result: Result) => void;
  readonly reject: (error: Error) => void;
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
   *   result, or the agent's own code.
   */
  async run<Name extends CommandName>(
    clientId: string,
    name: Name,
    parameters: CommandParameters<Name>,
  ): Promise<{ commandId: string; result: CommandResult<Name> }> {
    const session = this.#sessions.get(clientId);
    if (session === undefined) {
      throw new BackhaulError('client_offline', `Agent ${clientId} is not connected.`);
    }
    if (!session.capabilities.has(name)) {
      throw new BackhaulError(
        'not_supported',
        `Agent ${clientId} has version ${session.agentVersion}, which does not support ${name}. Update it.`,
      );
    }
    if (name === 'list_directory' && !session.listsPages && Object.keys(parameters).length > 1) {
      throw new BackhaulError(
        'not_supported',
        `Agent ${clientId} is too old to list by page or prefix: it lists only the first 5,000 entries. Update it.`,
      );
    }
    const commandId = uuidv7();
    const result = await this.#ask(session, commandId, {
      timeoutMs: commands[name].timeoutMs,
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

  async #ask(
    session: AgentSession,
    commandId: string,
    { timeoutMs, send }: { readonly timeoutMs: number; readonly send: () => void },
  ): Promise<Result> {
    const { promise, resolve, reject } = Promise.withResolvers<Result>();
    const timer = setTimeout(() => {
      const seconds = timeoutMs / 1000;
      reject(
        new BackhaulError('command_timeout', `Agent ${session.clientId} did not respond in ${seconds} s.`),
      );
    }, timeoutMs);
    this.#pending.set(commandId, { session, resolve, reject });
    try {
      send();
      return await promise;
    } finally {
      clearTimeout(timer);
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
