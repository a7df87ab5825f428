import { type AgentMessage, subjectOf } from '@backhaul/protocol';
import { completed, failed, refusedMessage } from '../domain/agents/handlers/endings.ts';
import { partsReady, partUploaded, stalled } from '../domain/agents/handlers/parts.ts';
import { prepared, resumed } from '../domain/agents/handlers/prepared.ts';
import { type TransferContext, withoutSignatures } from '../domain/agents/handlers/context.ts';
import type { AgentSession } from '../domain/agents/session.ts';

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
