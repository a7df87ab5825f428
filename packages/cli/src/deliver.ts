import type { BackhaulClient } from '@backhaul/client';
import type { UploadRecord } from '@backhaul/protocol';
import type { Destination, OutputPath } from './content/destination.ts';
import { saveContent } from './content/save-content.ts';
import type { Context } from './context.ts';
import type { PullView } from './progress/pull-view.ts';
import { PullFailedError } from './pull-failed-error.ts';
import { printable, readableBytes, readableDuration, readableRate } from './readable.ts';

export interface DeliverOptions {
  readonly client: BackhaulClient;
  readonly view: PullView;
  /** Undefined: the object stays where it is. */
  readonly target: OutputPath | undefined;
}

/**
 * The end of a pull: fetches what it brought and says so.
 *
 * @throws PullFailedError if it brought nothing; BackhaulError if fetching fails.
 */
export async function deliver(
  context: Context,
  record: UploadRecord,
  { client, view, target }: DeliverOptions,
): Promise<void> {
  if (record.status !== 'completed') throw new PullFailedError(record);
  const { output, signal } = context;
  const destination = await target?.resolve(record);
  let by: string | undefined;
  if (destination !== undefined) {
    by = await saveContent(record, destination, {
      client,
      stdout: output.stdout,
      signal,
      onProgress: (done, total) => view.showSaving(done, total),
    });
  }
  view.close();
  if (output.json) return;
  const lines = [describeCompleted(record)];
  if (destination === undefined) lines.push(`  get it: backhaul content ${record.upload_id} --output PATH`);
  else lines.push(describeSaved(destination, by));
  for (const line of lines) {
    if (destination?.kind === 'stdout') output.remark(line);
    else output.line(line);
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

function describeSaved(destination: Destination, by: string | undefined): string {
  const place = destination.kind === 'stdout' ? 'written to standard output' : `saved to ${destination.path}`;
  return `  ${printable(place)} (compared by ${by ?? 'nothing'})`;
}
