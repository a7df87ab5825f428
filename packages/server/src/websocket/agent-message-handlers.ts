import { type AgentMessage, subjectOf } from '@backhaul/protocol';
import { completed } from '../domain/agent-messages/completed.ts';
import { failed } from '../domain/agent-messages/failed.ts';
import { partUploaded } from '../domain/agent-messages/part-uploaded.ts';
import { partsReady } from '../domain/agent-messages/parts-ready.ts';
import { prepared } from '../domain/agent-messages/prepared.ts';
import { refusedMessage } from '../domain/agent-messages/refused-message.ts';
import { result } from '../domain/agent-messages/result.ts';
import { resumed } from '../domain/agent-messages/resumed.ts';
import { stalled } from '../domain/agent-messages/stalled.ts';
import { withoutSignatures } from '../domain/agent-messages/without-signatures.ts';
import type { AgentSession } from '../domain/sessions/agent-session.ts';
import type { TransferContext } from '../domain/transfer-context.ts';

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
      return result(context, session, message);
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
