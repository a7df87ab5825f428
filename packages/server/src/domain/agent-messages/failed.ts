import { type Failed, isErrorCode } from '@backhaul/protocol';
import { type Bucket, BucketError } from '../ports/bucket.ts';
import type { AgentSession } from '../sessions/agent-session.ts';
import type { TransferContext } from '../transfer-context.ts';
import { waitingForStore } from '../uploads/attempt-failure.ts';
import { withOwnedUpload } from './owned-upload.ts';
import { withoutSignatures } from './without-signatures.ts';

/** An immediate retry would only be refused again. From the second time on the delay grows by itself. */
const AGENT_BUSY_WAIT_MS = 1000;

/** The agent ended the attempt. If the agent was only busy, it gets the upload again later. */
export function failed(context: TransferContext, session: AgentSession, message: Failed): Promise<void> {
  return withOwnedUpload(context, session, message, async (upload) => {
    // All parts are sent: from here on the server decides the outcome.
    if (upload.status === 'completing') return;
    if (message.error === 'agent_busy' && upload.status === 'preparing') {
      await context.recovery.interrupt(upload, {
        reason: withoutSignatures(message.message),
        ...(upload.setbacks === 0 ? { waitMs: AGENT_BUSY_WAIT_MS } : {}),
      });
      return;
    }
    if (message.error === 'storage_refused') {
      const outage = await storeOutage(context.bucket);
      if (outage !== undefined) {
        await context.recovery.handleFailure(upload, {
          error: 'storage_unavailable',
          message: waitingForStore(outage),
        });
        return;
      }
    }
    await context.recovery.handleFailure(upload, {
      error: isErrorCode(message.error) ? message.error : 'agent_fault',
      message: withoutSignatures(message.message),
    });
  });
}

/**
 * A refusal that an agent reports is final only if the store accepts the server's calls at the same time. If the
 * server's clock is wrong, for example, stores refuse every URL it signs, each with a message of its own, and agents
 * of 0.1.0 report those as final.
 */
async function storeOutage(bucket: Bucket): Promise<BucketError | undefined> {
  try {
    await bucket.ping();
    return undefined;
  } catch (error) {
    if (!(error instanceof BucketError)) throw error;
    return error.kind === 'unavailable' ? error : undefined;
  }
}
