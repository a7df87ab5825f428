import type { BackhaulClient } from '@backhaul/client';
import { asOutputError } from '@backhaul/client/content';
import { type UploadRecord, printable } from '@backhaul/protocol';
import type { OutputPath } from './content/destination.ts';
import { fetchTo } from './content/save-content.ts';
import type { Context } from './context.ts';
import { fetchCommand } from './failure.ts';
import { Interrupted } from './interrupted.ts';
import { STANDARD_OUTPUT } from './output.ts';
import type { ProgressView } from './progress/progress-view.ts';
import { UploadFailedError } from './upload-failed-error.ts';
import { readableBytes, readableDuration, readableRate } from './readable.ts';
import { UndeliveredError } from './undelivered-error.ts';

export interface DeliverOptions {
  readonly client: BackhaulClient;
  readonly view: ProgressView;
  /** Undefined: the object is not downloaded. */
  readonly target: OutputPath | undefined;
}

/**
 * Last step after an upload has ended: downloads the object if requested, and prints the result.
 *
 * @throws UploadFailedError if the upload did not complete; UndeliveredError if the object cannot be downloaded or
 *   written.
 */
export async function deliver(
  context: Context,
  record: UploadRecord,
  { client, view, target }: DeliverOptions,
): Promise<void> {
  if (record.status !== 'completed') throw new UploadFailedError(record);
  const { output, signal } = context;
  const completed = describeCompleted(record);
  if (target === undefined) {
    view.close();
    if (!output.json) output.lines([completed, `  get the file: ${fetchCommand(record)}`]);
    return;
  }
  try {
    const destination = await target.resolve(record.file_path);
    const verified = await fetchTo(destination, record, {
      client,
      stdout: output.stdout,
      signal,
      onProgress: (done, total) => view.showSaving(done, total),
    });
    view.close();
    if (output.json) return;
    const location =
      destination.kind === 'stdout' ? `written to ${STANDARD_OUTPUT}` : `saved to ${destination.path}`;
    const lines = [completed, `  ${printable(location)} (${verified})`];
    if (destination.kind === 'stdout') output.remark(lines.join('\n'));
    else output.lines(lines);
  } catch (error) {
    view.close();
    if (error instanceof Interrupted) {
      output.remark(`The upload is complete, the download is not. Resume it with: ${fetchCommand(record)}`);
      throw error;
    }
    // A broken pipe of standard output may also arrive as the reason of the signal.
    throw new UndeliveredError(record, asOutputError(error, STANDARD_OUTPUT));
  }
}

function describeCompleted(record: UploadRecord): string {
  const { size, upload_duration_ms: ms } = record;
  const words = [`${record.upload_id} completed: ${record.file_name}`];
  if (size !== null) words.push(readableBytes(size));
  if (ms !== null) words.push(`in ${readableDuration(ms)}`);
  if (size !== null && ms !== null && ms > 0) words.push(`at ${readableRate((size * 1000) / ms)}`);
  return printable(words.join('  '));
}
