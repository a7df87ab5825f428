import { BackhaulError, type MessageSubject } from '@backhaul/protocol';
import type { AgentSession } from '../sessions/agent-session.ts';
import type { TransferContext } from '../transfer-context.ts';
import { withOwnedUpload } from './owned-upload.ts';
import { withoutSignatures } from './without-signatures.ts';

/**
 * A message was refused by its reader, here or at the agent. It is not repeated, and a caller that waits for what it said
 * would wait in vain, so what it was about ends now: the attempt of an upload, or a command.
 */
export async function refusedMessage(
  context: TransferContext,
  session: AgentSession,
  { subject, problem }: { subject: MessageSubject; problem: string },
): Promise<void> {
  const message = withoutSignatures(problem);
  if ('command_id' in subject) {
    context.commands.refuse(session, subject.command_id, new BackhaulError('protocol_error', message));
    return;
  }
  await withOwnedUpload(context, session, subject, async (upload) => {
    // All parts are sent: how it ends is the server's finding from here on.
    if (upload.status === 'completing') return;
    await context.recovery.settle(upload, { error: 'protocol_error', message });
  });
}
