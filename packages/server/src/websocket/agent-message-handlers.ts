import { setTimeout as sleep } from 'node:timers/promises';
import { type AgentMessage, subjectOf } from '@backhaul/protocol';
import { completed, failed, refusedMessage } from '../domain/agents/handlers/endings.ts';
import { partsReady, partUploaded, stalled } from '../domain/agents/handlers/parts.ts';
import { prepared, resumed } from '../domain/agents/handlers/prepared.ts';
import { type TransferContext, withoutSignatures } from '../domain/agents/handlers/context.ts';
import type { Log } from '../domain/ports/log.ts';
import { StoreError } from '../domain/ports/store.ts';
import type { AgentSession } from '../domain/agents/session.ts';

const RETRY_BASE_MS = 250;
const RETRY_CAP_MS = 5000;

/** Maps each message after `hello` to its handler. */
export async function handleAgentMessage(
  context: TransferContext,
  session: AgentSession,
  message: Exclude<AgentMessage, { status: 'hello' }>,
): Promise<void> {
  switch (message.status) {
    case 'prepared':
      return prepared(context, session, message);
    case 'resumed':
      return resumed(context, session, message);
    case 'parts_ready':
      return partsReady(context, session, message);
    case 'part_uploaded':
      return partUploaded(context, session, message);
    case 'stalled':
      return stalled(context, session, message);
    case 'progress':
      return context.progress.report(session, message);
    case 'completed':
      return completed(context, session, message);
    case 'failed':
      return failed(context, session, message);
    case 'command_progress':
      return context.commands.progress(session, message);
    case 'result':
      return context.commands.complete(session, message);
    case 'token_stored':
      return context.renewal.stored(session, message);
    case 'error': {
      const { code, message: problem } = message;
      context.log.warn(
        { clientId: session.clientId, code, problem: withoutSignatures(problem) },
        'agent refused a message',
      );
      const subject = subjectOf(message);
      if (subject === null) return;
      return refusedMessage(context, session, {
        subject,
        problem: `The agent could not parse a message of the server: ${problem}`,
      });
    }
  }
  message satisfies never;
}

/**
 * Runs `task` repeatedly until the database accepts its write. On a connection that stays open an agent never repeats
 * a message, so it is held here; closing the connection instead would make all agents reconnect at once to a database
 * that cannot accept their hello either.
 *
 * @param options.signal Stops retrying; unrecorded data then has to come from elsewhere.
 * @returns whether it was recorded.
 * @throws any error that is not a StoreError.
 */
export async function retryOnStoreError(
  task: () => Promise<void>,
  { signal, log }: { signal: AbortSignal; log: Log },
): Promise<boolean> {
  for (let tries = 0; ; tries += 1) {
    try {
      await task();
      return true;
    } catch (error) {
      if (!(error instanceof StoreError)) throw error;
      log.warn({ err: error, tries }, 'database unavailable; retrying');
    }
    const ceiling = Math.min(RETRY_CAP_MS, RETRY_BASE_MS * 2 ** Math.min(tries, 16));
    await sleep(Math.random() * ceiling, undefined, { signal }).catch(() => undefined);
    if (signal.aborted) return false;
  }
}
