import { isTerminal, type UploadRecord, printable } from '@backhaul/protocol';
import { Option } from 'commander';
import { connect, type Context, defineCommand } from '../command.ts';
import { parseLimit } from '../paging.ts';
import { paintStatus } from '../print-upload.ts';
import { readableBytes, readableDuration } from '../readable.ts';

const LINE_INTERVAL_MS = 1000;

interface Options {
  readonly follow?: boolean;
  readonly clientId?: string;
  readonly limit?: number;
}

export const events = defineCommand<readonly [], Options>({
  name: 'events',
  summary: 'show recent uploads, or follow changes',
  description:
    'Prints one line per upload: time, upload_id, client_id, status, progress, file and error. Without --follow: the ' +
    'current state of the newest uploads, oldest first; earlier changes are not listed. With --follow: a line for ' +
    'each change from now on, for progress at most one per second and upload, until Ctrl-C; --json prints every ' +
    'change.',
  machine: { required: false, description: 'only uploads of this machine' },
  options: [
    new Option('--follow', 'print changes as they happen, until Ctrl-C').conflicts('limit'),
    new Option('--limit <n>', 'number of uploads to show, 1 to 500 (default: 20)').argParser(parseLimit),
  ],
  examples: [
    'backhaul events',
    'backhaul events --follow --client-id restaurant-1',
    'backhaul events --follow --json | jq -r \'select(.status == "completed") | .key\'',
  ],
  async run(context, { options }) {
    const { output, signal } = context;
    const client = connect(context);
    const { clientId, limit = 20, follow = false } = options;
    if (!follow) {
      const { uploads } = await client.listUploads({ client_id: clientId, limit }, { signal });
      for (const record of uploads.toReversed()) print(context, record);
      return;
    }
    const throttle = new LineThrottle(context.now);
    const records = client.followEvents({
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
      if (output.json || throttle.allows(record)) print(context, record);
    }
  },
});

/** Allows each change of status, and progress at most once per second and upload. */
class LineThrottle {
  readonly #now: () => number;
  readonly #last = new Map<string, { readonly at: number; readonly status: string }>();

  constructor(now: () => number) {
    this.#now = now;
  }

  allows({ upload_id, status }: UploadRecord): boolean {
    const at = this.#now();
    const last = this.#last.get(upload_id);
    if (last?.status === status && at - last.at < LINE_INTERVAL_MS) return false;
    if (isTerminal(status)) this.#last.delete(upload_id);
    else this.#last.set(upload_id, { at, status });
    return true;
  }
}

function print({ output }: Context, record: UploadRecord): void {
  if (output.json) {
    output.value(record);
    return;
  }
  const { status, size, bytes_uploaded: bytes } = record;
  const words = [
    record.completed_at ?? record.started_at ?? record.created_at,
    record.upload_id,
    printable(record.client_id),
    paintStatus(output, status, status.padEnd(10)),
  ];
  if (status === 'uploading' && size !== null)
    words.push(`${readableBytes(bytes)} of ${readableBytes(size)}`);
  if (status === 'completed' && size !== null) words.push(readableBytes(size));
  words.push(printable(record.file_path));
  if (record.error !== null) words.push(`(${record.error})`);
  output.line(words.join('  '));
}
