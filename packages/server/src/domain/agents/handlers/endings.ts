import {
  BackhaulError,
  type Completed,
  type Failed,
  isErrorCode,
  type MessageSubject,
} from '@backhaul/protocol';
import { bucketOutage, waitingForStore } from '../../uploads/bucket-outage.ts';
import type { AgentSession } from '../session.ts';
import { type TransferContext, withoutSignatures, withOwnedUpload } from './context.ts';
import { reportedParts } from './parts.ts';
import { requestedNameProblem } from './prepared.ts';

/** All parts are sent. `completing` is stored durably before S3 is called; {@link Completion} does the rest. */
export function completed(
  context: TransferContext,
  session: AgentSession,
  message: Completed,
): Promise<void> {
  return withOwnedUpload(context, session, message, async (upload) => {
    if (upload.status !== 'uploading') return;
    const problem =
      requestedNameProblem(upload, message.file_name) ??
      (message.size === upload.sizeBytes
        ? undefined
        : `The agent sent ${message.size} bytes of a file that had ${upload.sizeBytes}.`);
    if (problem !== undefined) {
      await context.ending.endLocked(upload, { type: 'fail', error: 'protocol_error', message: problem });
      return;
    }
    const totals = await context.store.recordUploadedParts(
      upload.uploadId,
      reportedParts(upload, message.parts),
    );
    // The single part of an empty file has no bytes; if the server writes the object, no part is sent.
    const isEmpty = upload.sizeBytes === 0;
    const completing = await context.ledger.apply(upload, {
      type: 'parts_sent',
      totals: isEmpty ? { partsCompleted: upload.partCount ?? 1, bytesUploaded: 0 } : totals,
      sha256: message.sha256,
      uploadDurationMs: message.upload_duration_ms,
    });
    if (completing === undefined) return;
    context.completion.start(upload.uploadId);
    context.dispatcher.schedule(upload.clientId);
  });
}

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
      // A refusal that an agent reports is final only if the store accepts the server's calls at the same time. If the
      // server's clock is wrong, for example, stores refuse every URL it signs, each with a message of its own, and
      // agents of 0.1.0 report those as final.
      const outage = await bucketOutage(context.bucket);
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
