import { type Failed, isErrorCode } from '@backhaul/protocol';
import { type Bucket, BucketError } from '../ports/bucket.ts';
import type { AgentSession } from '../sessions/agent-session.ts';
import type { TransferContext } from '../transfer-context.ts';
import { storeAway } from '../uploads/attempt-failure.ts';
import { withOwnedUpload } from './owned-upload.ts';
import { withoutSignatures } from './without-signatures.ts';

/** At once it would only be refused again. From the second time on the pause grows by itself. */
const AGENT_BUSY_WAIT_MS = 1000;

/** The agent gave the attempt up. One that was merely busy gets the upload again later. */
export function failed(context: TransferContext, session: AgentSession, message: Failed): Promise<void> {
  return withOwnedUpload(context, session, message, async (upload) => {
    // All parts are sent: how it ends is the server's finding from here on.
    if (upload.status === 'completing') return;
    if (message.error === 'agent_busy' && upload.status === 'preparing') {
      await context.recovery.interrupt(upload, {
        reason: withoutSignatures(message.message),
        ...(upload.setbacks === 0 ? { waitMs: AGENT_BUSY_WAIT_MS } : {}),
      });
      return;
    }
    if (message.error === 'storage_refused') {
      const outage = await outageOf(context.bucket);
      if (outage !== undefined) {
        await context.recovery.settle(upload, { error: 'storage_unavailable', message: storeAway(outage) });
        return;
      }
    }
    await context.recovery.settle(upload, {
      error: isErrorCode(message.error) ? message.error : 'agent_fault',
      message: withoutSignatures(message.message),
    });
  });
}

/**
 * What the store refuses agents is final only if it serves the server at the same time. With the server's clock off, for
 * example, stores refuse every URL that it signs, each in words of its own, which agents of 0.1.0 report as final.
 */
async function outageOf(bucket: Bucket): Promise<BucketError | undefined> {
  try {
    await bucket.ping();
    return undefined;
  } catch (error) {
    if (!(error instanceof BucketError)) throw error;
    return error.kind === 'unavailable' ? error : undefined;
  }
}
