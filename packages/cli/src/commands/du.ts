import type { DiskUsage, DiskUsageProgress } from '@backhaul/protocol';
import { Argument, InvalidArgumentError, Option } from 'commander';
import { parseFilePath } from '../arguments.ts';
import { connect, type Context, defineCommand } from '../command.ts';
import { renderFields, renderTable } from '../output.ts';
import { readableAge, readableBytes } from '../readable.ts';
import { remarkAllowedPaths } from './ls.ts';

interface Options {
  readonly clientId: string;
  readonly largest?: number;
}

export const du = defineCommand<readonly [directory: string | undefined], Options>({
  name: 'du',
  summary: 'show the disk usage of a directory on a connected machine',
  description:
    'Adds up the regular files below the directory and lists the largest. Symbolic links are not followed, and other file systems mounted below it are not entered. Ctrl-C also stops the agent.',
  machine: { required: true, description: "the machine's client_id" },
  arguments: [
    new Argument('<dir>', 'a directory that the agent is allowed to read').argParser(parseFilePath),
  ],
  options: [
    new Option('--largest <number>', 'number of files to list, 1 to 100 (default: 20)').argParser(
      parseLargest,
    ),
  ],
  examples: [
    'backhaul du restaurant-1 /data',
    'backhaul du restaurant-1 /var/log --largest 5',
    'backhaul du restaurant-1 /data --json | jq .bytes',
  ],
  async run(context, { arguments: [path = ''], options: { clientId, largest } }) {
    const { output, signal } = context;
    const client = connect(context);
    const progress = openProgress(context);
    try {
      const parameters = { path, ...(largest !== undefined && { largest }) };
      const usage = await client.runCommand(clientId, 'disk_usage', parameters, {
        signal,
        onProgress: progress.show,
      });
      progress.clear();
      if (output.json) output.value(usage);
      else output.lines(describeUsage(usage, context));
    } catch (error) {
      progress.clear();
      await remarkAllowedPaths(error, { client, clientId, context });
      throw error;
    }
  },
});

function parseLargest(text: string): number {
  const count = /^\d{1,3}$/.test(text) ? Number(text) : 0;
  if (count >= 1 && count <= 100) return count;
  throw new InvalidArgumentError('Give a whole number from 1 to 100.');
}

/** The totals so far as one line on standard error, redrawn about once a second; nothing unless that is a terminal. */
function openProgress({ config, output: { stderr } }: Context) {
  const isShown = stderr.isTTY === true && config.redraw;
  const eraseLine = '\r\u001b[K';
  return {
    show: (totals: DiskUsageProgress): void => {
      const width = Math.max(20, (stderr.columns || 80) - 1);
      const text = `${totals.files} files, ${totals.directories} directories, ${readableBytes(totals.bytes)}`;
      if (isShown) stderr.write(`${eraseLine}${text.slice(0, width)}`);
    },
    clear: (): void => {
      if (isShown) stderr.write(eraseLine);
    },
  };
}

function describeUsage(usage: DiskUsage, { now }: Context): string[] {
  const counted = ([name, count]: [string, number]): [string, string][] =>
    count === 0 ? [] : [[name, String(count)]];
  const totals = renderFields([
    ['size', readableBytes(usage.bytes)],
    ['allocated', readableBytes(usage.allocated_bytes)],
    ['files', String(usage.files)],
    ['directories', String(usage.directories)],
    ...counted(['other entries', usage.others]),
    ...counted(['further hard links', usage.repeated_links]),
    ...counted(['not readable', usage.unreadable]),
    ...counted(['other file systems', usage.other_file_systems]),
  ]);
  if (usage.largest.length === 0) return totals;
  const table = renderTable(usage.largest, [
    { title: 'SIZE', align: 'right', value: ({ size }) => readableBytes(size) },
    { title: 'CHANGED', align: 'right', value: (file) => readableAge(file.modified_at, now()) },
    { title: 'LARGEST FILES', value: (file) => file.path },
  ]);
  return [...totals, '', ...table];
}
