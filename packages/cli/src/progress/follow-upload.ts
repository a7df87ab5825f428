import { type BackhaulClient, Deadline } from '@backhaul/client';
import { hasEnded, type UploadRecord } from '@backhaul/protocol';
import type { Context } from '../command.ts';
import { TimeLimitError } from '../errors.ts';
import { readableDuration } from '../readable.ts';
import type { ProgressView } from './views.ts';

/** The server has just responded, so a failure to connect is probably a restart: keep trying for this long. */
const FIRST_CONTACT_MS = 60_000;

/** Maximum delay of setTimeout. */
const MAX_TIMEOUT_MS = 2 ** 31 - 1;

export interface FollowUploadOptions {
  readonly client: BackhaulClient;
  readonly view: ProgressView;
  readonly timeoutMs?: number | undefined;
}

/**
 * Shows the progress of an upload until it has ended and returns its final record.
 *
 * @throws TimeLimitError after `timeoutMs`; the signal's reason; errors of the client. In each of these cases the
 *   upload continues on the server, and a remark says how to follow it again.
 */
export async function followUpload(
  context: Context,
  record: UploadRecord,
  { client, view, timeoutMs }: FollowUploadOptions,
): Promise<UploadRecord> {
  view.show(record);
  if (hasEnded(record)) return record;
  using deadline = new Deadline(Math.min(timeoutMs ?? MAX_TIMEOUT_MS, MAX_TIMEOUT_MS), context.signal);
  let last = record;
  let reportedProblem: string | undefined;
  try {
    const records = client.followUpload(record.upload_id, {
      signal: deadline.signal,
      firstContactMs: FIRST_CONTACT_MS,
      onGap: ({ problem, delayMs }) => {
        // The client retries every few seconds; report each problem only once.
        if (problem === undefined || problem.message === reportedProblem) return;
        reportedProblem = problem.message;
        view.notice(
          `Lost the event stream (${reportedProblem}); reconnecting in ${readableDuration(delayMs)}.`,
        );
      },
    });
    for await (const next of records) {
      const isChanged = next.version > last.version || next.bytes_in_flight !== last.bytes_in_flight;
      if (next.version < last.version || !isChanged) continue;
      reportedProblem = undefined;
      last = next;
      view.show(last);
    }
    return last;
  } catch (error) {
    view.close();
    const { upload_id: id } = record;
    context.output.remark(
      [
        'The upload continues on the server.',
        `  follow it: backhaul uploads ${id} --follow`,
        `  cancel it: backhaul cancel ${id}`,
      ].join('\n'),
    );
    throw deadline.expired && timeoutMs !== undefined ? new TimeLimitError(timeoutMs) : error;
  }
}
