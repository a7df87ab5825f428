import { BackhaulError, type MessageSubject } from '@backhaul/protocol';
import type { AgentSession } from '../sessions/agent-session.ts';
import type { TransferContext } from '../transfer-context.ts';
import { withOwnedUpload } from './owned-upload.ts';
import { withoutSignatures } from './without-signatures.ts';

/**
 * A message could not be parsed, here or by the agent. It is not resent, so a caller waiting for it would wait in
 * vain; therefore its subject ends now: the attempt of an upload, or a command.
 */
export async function refusedMessage(
  context: TransferContext,
  session: AgentSession,
  { subject, problem }: { subject: MessageSubject; problem: string },
): Promise<void> {
  const message = withoutSignatures(problem);
  if ('command_id' in subject) {
    context.commands.fail(session, subject.command_id, new BackhaulError('protocol_error', message));
    return;
  }
  await withOwnedUpload(context, session, subject, async (upload) => {
    // All parts are sent: from here on the server decides the outcome.
    if (upload.status === 'completing') return;
    await context.recovery.handleFailure(upload, { error: 'protocol_error', message });
  });
}
