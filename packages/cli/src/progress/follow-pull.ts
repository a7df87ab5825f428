import { type BackhaulClient, Deadline } from '@backhaul/client';
import { isTerminal, type UploadRecord } from '@backhaul/protocol';
import type { Context } from '../context.ts';
import { readableDuration } from '../readable.ts';
import { TimeLimitError } from '../time-limit-error.ts';
import type { PullView } from './pull-view.ts';

/** The pull was just accepted or read, so the server is there; a restart of it need not end the watch. */
const FIRST_CONTACT_MS = 60_000;

/** What setTimeout can count; nobody waits longer. */
const LONGEST_MS = 2 ** 31 - 1;

export interface FollowPullOptions {
  readonly client: BackhaulClient;
  readonly view: PullView;
  readonly timeoutMs?: number | undefined;
}

/**
 * Shows a pull until it has ended and returns its last record.
 *
 * @throws TimeLimitError after `timeoutMs`; the signal's reason; what the client throws. The pull goes on in
 * each of these cases, and a remark says how to come back to it.
 */
export async function followPull(
  context: Context,
  record: UploadRecord,
  { client, view, timeoutMs }: FollowPullOptions,
): Promise<UploadRecord> {
  view.show(record);
  if (isTerminal(record.status)) return record;
  using deadline = new Deadline(Math.min(timeoutMs ?? LONGEST_MS, LONGEST_MS), context.signal);
  let last = record;
  let told: string | undefined;
  try {
    const records = client.followUpload(record.upload_id, {
      signal: deadline.signal,
      firstContactMs: FIRST_CONTACT_MS,
      onGap: ({ problem, delayMs }) => {
        // It is tried every few seconds; once is enough to be told why.
        if (problem === undefined || problem.message === told) return;
        told = problem.message;
        view.notice(`The event stream was lost (${told}); again in ${readableDuration(delayMs)}.`);
      },
    });
    for await (const next of records) {
      const isNews = next.version > last.version || next.bytes_in_flight !== last.bytes_in_flight;
      if (next.version < last.version || !isNews) continue;
      told = undefined;
      last = next;
      view.show(last);
    }
    return last;
  } catch (error) {
    view.close();
    const { upload_id: id } = record;
    context.output.remark(
      [
        'The pull goes on without this command.',
        `  follow it: backhaul uploads ${id} --follow`,
        `  cancel it: backhaul cancel ${id}`,
      ].join('\n'),
    );
    throw deadline.expired && timeoutMs !== undefined ? new TimeLimitError(timeoutMs) : error;
  }
}
