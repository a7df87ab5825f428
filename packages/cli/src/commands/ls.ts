import { ApiError, type BackhaulClient } from '@backhaul/client';
import { type DirectoryListing, type Opened, printable } from '@backhaul/protocol';
import { Argument, InvalidArgumentError, Option } from 'commander';
import { parseFilePath } from '../arguments.ts';
import { connect, type Context, defineCommand } from '../command.ts';
import { renderTable } from '../output.ts';
import { readableAge, readableBytes } from '../readable.ts';

interface Options {
  readonly clientId: string;
  readonly prefix?: string;
  readonly limit?: number;
}

export const ls = defineCommand<readonly [directory: string | undefined], Options>({
  name: 'ls',
  summary: 'list a directory on a connected machine',
  description:
    'Without a directory: lists the paths that the agent is allowed to read. Large directories are printed page by page.',
  machine: { required: true, description: "the machine's client_id" },
  arguments: [
    new Argument('[dir]', 'a directory that the agent is allowed to read').argParser(parseFilePath),
  ],
  options: [
    new Option('--prefix <text>', 'only entries whose names start with this text'),
    new Option('--limit <number>', 'maximum number of entries (default: all)').argParser(parseCount),
  ],
  examples: [
    'backhaul ls restaurant-1',
    'backhaul ls restaurant-1 /data',
    'backhaul ls restaurant-1 /var/log --prefix app- --limit 100',
    "backhaul ls restaurant-1 /data --json | jq -r '.entries[].name'",
  ],
  async run(context, { arguments: [path], options }) {
    const { output, signal } = context;
    const { clientId, prefix, limit } = options;
    const client = connect(context);
    if (path === undefined) {
      const allowed = await allowedOn(client, clientId, signal);
      if (output.json) output.value({ allowed });
      else output.lines(allowed.map(printable));
      return;
    }
    const range = { ...(prefix !== undefined && { prefix }), ...(limit !== undefined && { limit }) };
    try {
      let isFirst = true;
      let listed = 0;
      for await (const page of client.listDirectory(clientId, { path, ...range }, { signal })) {
        listed += page.entries.length;
        if (output.json) output.value(page);
        // Printed page by page: a directory may have more entries than fit into memory.
        else output.lines(tableOf(page, context).slice(isFirst ? 0 : 1));
        isFirst = false;
        if (page.truncated && page.next_cursor === undefined) {
          output.remark(
            'The list is truncated: this version of the agent cannot list more. Update the agent to list all entries.',
          );
        } else if (page.truncated && limit !== undefined && listed >= limit) {
          output.remark('More results: use a larger --limit.');
        }
      }
    } catch (error) {
      await remarkAllowedPaths(error, { client, clientId, context });
      throw error;
    }
  },
});

/** Adds to the error of a path that is not allowed which paths are. */
export async function remarkAllowedPaths(
  failure: unknown,
  request: { readonly client: BackhaulClient; readonly clientId: string; readonly context: Context },
): Promise<void> {
  if (!(failure instanceof ApiError) || failure.code !== 'path_not_allowed') return;
  const { client, clientId, context } = request;
  const allowed = await allowedOn(client, clientId, context.signal).catch(() => []);
  if (allowed.length > 0) context.output.remark(`The agent may read: ${allowed.map(printable).join(', ')}`);
}

function parseCount(text: string): number {
  const count = /^\d{1,9}$/.test(text) ? Number(text) : 0;
  if (count >= 1) return count;
  throw new InvalidArgumentError('A limit is a whole number of at least 1.');
}

async function allowedOn(
  client: BackhaulClient,
  clientId: string,
  signal: AbortSignal,
): Promise<readonly string[]> {
  return (await client.runCommand(clientId, 'health_check', {}, { signal })).allowed;
}

function tableOf({ entries }: Opened<DirectoryListing>, { now }: Context): string[] {
  return renderTable(entries, [
    { title: 'TYPE', value: (entry) => entry.type },
    { title: 'SIZE', align: 'right', value: ({ size }) => (size === null ? '–' : readableBytes(size)) },
    { title: 'CHANGED', align: 'right', value: (entry) => readableAge(entry.modified_at, now()) },
    { title: 'NAME', value: (entry) => entry.name },
  ]);
}
