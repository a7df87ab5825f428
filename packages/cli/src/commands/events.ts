import { hasEnded, printable, type UploadRecord } from '@backhaul/protocol';
import { Option } from 'commander';
import { connect, type Context, defineCommand } from '../command.ts';
import { parseLimit } from '../paging.ts';
import { paintStatus } from '../print-upload.ts';
import { readableBytes, readableDuration } from '../readable.ts';

const LINE_INTERVAL_MS = 1000;

/** Uploads whose records are searched for events, newest first: one page of the list. */
const SEARCHED_UPLOADS = 500;

interface Options {
  readonly follow?: boolean;
  readonly clientId?: string;
  readonly limit?: number;
}

export const events = defineCommand<readonly [], Options>({
  name: 'events',
  summary: 'show recent events of uploads, or follow changes',
  description:
    'Prints one line per event: time, upload_id, client_id, event, progress or size, file, and error or reason. Without ' +
    '--follow: the last events that the records of the newest 500 uploads show, oldest first: queued, started, ' +
    'stalled, cancelling, and how the upload ended. Events of earlier attempts and progress are not recorded. --json ' +
    'prints the upload’s present record with "at" and "event" in front. With --follow: a line for each change from now ' +
    'on, for progress at most one per second and upload, until Ctrl-C; --json prints the record after every change.',
  machine: { required: false, description: 'only uploads of this machine' },
  options: [
    new Option('--follow', 'print changes as they happen, until Ctrl-C').conflicts('limit'),
    new Option('--limit <n>', 'number of events to show, 1 to 500 (default: 20)').argParser(parseLimit),
  ],
  examples: [
    'backhaul events',
    'backhaul events restaurant-1 --limit 100',
    'backhaul events --follow --client-id restaurant-1',
    'backhaul events --follow --json | jq -r \'select(.status == "completed") | .key\'',
  ],
  async run(context, { options }) {
    if (options.follow === true) await followChanges(context, options);
    else await printRecorded(context, options);
  },
});

async function printRecorded(context: Context, { clientId, limit = 20 }: Options): Promise<void> {
  const filter = { client_id: clientId, limit: SEARCHED_UPLOADS };
  const { uploads } = await connect(context).listUploads(filter, context);
  const recorded = uploads
    .toReversed()
    .flatMap(recordedEvents)
    .toSorted((one, other) => Date.parse(one.at) - Date.parse(other.at));
  for (const { at, event, record } of recorded.slice(-limit)) {
    if (context.output.json) context.output.value({ at, event, ...record });
    else printLine(context, { at, event, record });
  }
}

interface UploadEvent {
  readonly at: string;
  /** A status, or `started`, `stalled` or `cancelling`. */
  readonly event: string;
  readonly record: UploadRecord;
}

/** The changes whose times are in the record. */
function recordedEvents(record: UploadRecord): UploadEvent[] {
  const times: [event: string, at: string | null][] = [
    ['queued', record.created_at],
    ['started', record.started_at],
    ['stalled', record.stalled_since],
    ['cancelling', record.cancel_requested_at ?? null],
    [record.status, record.completed_at],
  ];
  return times.flatMap(([event, at]) => (at === null ? [] : [{ at, event, record }]));
}

async function followChanges(context: Context, { clientId }: Options): Promise<void> {
  const { output, signal } = context;
  const throttle = new LineThrottle(context.now);
  const records = connect(context).followEvents({
    signal,
    onGap: ({ problem, delayMs }) => {
      if (problem === undefined) return;
      output.remark(
        `Lost the event stream (${problem.message}); reconnecting in ${readableDuration(delayMs)}.`,
      );
    },
  });
  for await (const record of records) {
    if (clientId !== undefined && record.client_id !== clientId) continue;
    if (output.json) output.value(record);
    else if (throttle.allows(record)) {
      const at = record.completed_at ?? record.started_at ?? record.created_at;
      printLine(context, { at, event: record.status, record });
    }
  }
}

/** Allows each change of status, and progress at most once per second and upload. */
class LineThrottle {
  readonly #now: () => number;
  readonly #last = new Map<string, { readonly at: number; readonly status: string }>();

  constructor(now: () => number) {
    this.#now = now;
  }

  allows(record: UploadRecord): boolean {
    const { upload_id, status } = record;
    const at = this.#now();
    const last = this.#last.get(upload_id);
    if (last?.status === status && at - last.at < LINE_INTERVAL_MS) return false;
    if (hasEnded(record)) this.#last.delete(upload_id);
    else this.#last.set(upload_id, { at, status });
    return true;
  }
}

function printLine({ output }: Context, { at, event, record }: UploadEvent): void {
  const { size, bytes_uploaded: bytes, error, stalled_reason: reason } = record;
  const words = [
    at,
    record.upload_id,
    printable(record.client_id),
    paintStatus(output, event, printable(event).padEnd(10)),
  ];
  if (event === 'uploading' && size !== null) {
    words.push(`${readableBytes(bytes)} of ${readableBytes(size)}`);
  }
  if (event === 'completed' && size !== null) words.push(readableBytes(size));
  words.push(printable(record.file_path));
  if (event === record.status && error !== null) words.push(`(${printable(error)})`);
  if (event === 'stalled' && reason !== null) words.push(`(${printable(reason)})`);
  output.line(words.join('  '));
}
