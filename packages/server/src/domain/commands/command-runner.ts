import {
  BackhaulError,
  boundedParse,
  type CommandName,
  type CommandParameters,
  type CommandResult,
  type Result,
  commands,
  isErrorCode,
} from '@backhaul/protocol';
import { v7 as uuidv7 } from 'uuid';
import type { AgentSession } from '../sessions/agent-session.ts';
import type { SessionRegistry } from '../sessions/session-registry.ts';

interface Pending {
  readonly session: AgentSession;
  readonly settle: (result: Result) => void;
  readonly fail: (error: Error) => void;
}

/** Runs commands that are not uploads on a connected agent and waits for their `result`. */
export class CommandRunner {
  readonly #sessions: SessionRegistry;
  readonly #timeoutMs: number;
  readonly #pending = new Map<string, Pending>();

  /** @param options.timeoutMs How long an agent has for one command. */
  constructor(sessions: SessionRegistry, options: { timeoutMs: number }) {
    this.#sessions = sessions;
    this.#timeoutMs = options.timeoutMs;
  }

  /**
   * @throws BackhaulError `client_offline`, `not_supported`, `command_timeout`, `protocol_error` for an answer of the wrong
   *   shape, or the agent's own code.
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
    if (name === 'list_directory' && !session.listsPages && Object.keys(parameters).length > 1) {
      throw new BackhaulError(
        'not_supported',
        `Agent ${clientId} cannot list page by page or by prefix: it lists the first 5,000 entries. Update it.`,
      );
    }
    const commandId = uuidv7();
    const answer = await this.#ask(session, commandId, () =>
      session.send(toMessage(name, commandId, parameters)),
    );
    if (!answer.ok) {
      const known = isErrorCode(answer.error) ? answer.error : 'agent_fault';
      throw new BackhaulError(known, answer.message);
    }
    const parsed = boundedParse<CommandResult<CommandName>>(commands[name].result, answer.data);
    if (!parsed.success) {
      throw new BackhaulError(
        'protocol_error',
        `Agent ${clientId} answered ${name} in a shape it does not have.`,
      );
    }
    return { commandId, result: parsed.data as CommandResult<Name> };
  }

  /** Takes a `result` that an agent sent; one that nobody waits for, or of another agent, changes nothing. */
  settle(session: AgentSession, result: Result): void {
    const pending = this.#pending.get(result.command_id);
    if (pending?.session === session) pending.settle(result);
  }

  /** Fails a command whose `result` could not be read, or which its agent could not read. */
  refuse(session: AgentSession, commandId: string, error: BackhaulError): void {
    const pending = this.#pending.get(commandId);
    if (pending?.session === session) pending.fail(error);
  }

  /** Fails what still waits for an agent that has gone. */
  sessionEnded(session: AgentSession): void {
    for (const pending of this.#pending.values()) {
      if (pending.session === session) {
        pending.fail(new BackhaulError('client_offline', `Agent ${session.clientId} disconnected.`));
      }
    }
  }

  async #ask(session: AgentSession, commandId: string, send: () => void): Promise<Result> {
    const { promise, resolve, reject } = Promise.withResolvers<Result>();
    const timer = setTimeout(() => {
      const seconds = this.#timeoutMs / 1000;
      reject(
        new BackhaulError('command_timeout', `Agent ${session.clientId} did not answer in ${seconds} s.`),
      );
    }, this.#timeoutMs);
    this.#pending.set(commandId, { session, settle: resolve, fail: reject });
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
  // The union of commands and the union of messages name the same pairs; TypeScript does not correlate them.
  return { action: name, command_id: commandId, ...parameters } as Parameters<AgentSession['send']>[0];
}
