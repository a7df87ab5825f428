import { isTerminal } from '@backhaul/protocol';
import type { Bucket } from '../../ports/bucket.ts';
import type { Clock } from '../../ports/clock.ts';
import type { Log } from '../../ports/log.ts';
import type { Store } from '../../ports/store.ts';
import type { UploadSettings } from '../../upload-settings.ts';
import type { Completion } from '../../uploads/complete.ts';
import type { Dispatcher } from '../../uploads/dispatch.ts';
import type { UploadEnding } from '../../uploads/end.ts';
import type { UploadLedger } from '../../uploads/ledger.ts';
import type { LiveProgress } from '../../uploads/live-progress.ts';
import type { AttemptRecovery } from '../../uploads/requeue.ts';
import type { Upload } from '../../uploads/upload.ts';
import type { CommandRunner } from '../command-runner.ts';
import type { AgentSession, SessionRegistry } from '../session.ts';
import type { SharedTokens } from '../shared-tokens.ts';
import type { TokenRenewal } from '../token-renewal.ts';

/** Dependencies of the handlers of agents' messages. */
export interface TransferContext {
  readonly store: Store;
  readonly bucket: Bucket;
  readonly clock: Clock;
  readonly log: Log;
  readonly settings: UploadSettings;
  readonly sessions: SessionRegistry;
  readonly sharedTokens: SharedTokens;
  readonly renewal: TokenRenewal;
  readonly ledger: UploadLedger;
  readonly dispatcher: Dispatcher;
  readonly ending: UploadEnding;
  readonly recovery: AttemptRecovery;
  readonly completion: Completion;
  readonly commands: CommandRunner;
  readonly progress: LiveProgress;
}

/**
 * Runs `task` on the upload a message is about, exclusively among the tasks of this upload, if the session owns it:
 * same client, same epoch, same attempt. Any other message is late, repeated or forged and ignored; an agent still
 * working on an ended upload is told to stop.
 *
 * Frames of one connection about one upload are already in order (`AgentConnection`), also while the database refuses
 * writes. This lock adds everyone else: operators, the completion, the sweeper and other connections of the client.
 */
export async function withOwnedUpload(
  context: TransferContext,
  session: AgentSession,
  message: { upload_id: string; attempt: number },
  task: (upload: Upload) => Promise<void>,
): Promise<void> {
  await context.ledger.exclusively(message.upload_id, async () => {
    const upload = await context.store.getUpload(message.upload_id);
    // The same reaction for an unknown upload and another client's, so that ids cannot be probed.
    if (upload === undefined || upload.clientId !== session.clientId) {
      context.log.warn({ clientId: session.clientId }, 'message about an upload of another client');
      return;
    }
    if (upload.attempt !== message.attempt || isTerminal(upload.status)) {
      session.send({
        action: 'cancel_upload',
        upload_id: message.upload_id,
        attempt: message.attempt,
        reason: `attempt ${message.attempt} has ended`,
      });
      return;
    }
    if (upload.epoch !== session.epoch) return;
    await task(upload);
  });
}

const presigned = /\?\S*x-amz-\S*|x-amz-[a-z0-9-]+=\S+/gi;

/**
 * Makes an agent's text safe for rows, events and logs: with a presigned URL in it, any reader could write to the
 * bucket until it expires. Agents must not send any (docs/protocol.md), but not every agent is ours.
 */
export function withoutSignatures(text: string): string {
  return text.replaceAll(presigned, '?…');
}
