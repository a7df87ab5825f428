import { Argument } from 'commander';
import { clientIdArgument, parseFilePath } from '../argument-parsers.ts';
import { defineCommand } from '../command.ts';
import { connect } from '../context.ts';
import { readableAge, readableBytes } from '../readable.ts';
import { renderTable } from '../table.ts';

export const ls = defineCommand<readonly [clientId: string, directory: string]>({
  name: 'ls',
  summary: 'list a directory on a connected machine',
  arguments: [
    clientIdArgument(),
    new Argument('<dir>', 'a directory that the agent may read').argParser(parseFilePath),
  ],
  examples: [
    'backhaul ls restaurant-1 /data',
    "backhaul ls restaurant-1 /data --json | jq -r '.entries[].name'",
  ],
  async run(context, { arguments: [clientId, path] }) {
    const { output, signal, now } = context;
    const listing = await connect(context).runCommand(clientId, 'list_directory', { path }, { signal });
    if (output.json) {
      output.value(listing);
      return;
    }
    output.lines(
      renderTable(listing.entries, [
        { title: 'TYPE', value: (entry) => entry.type },
        { title: 'SIZE', align: 'right', value: ({ size }) => (size === null ? '–' : readableBytes(size)) },
        { title: 'CHANGED', align: 'right', value: (entry) => readableAge(entry.modified_at, now()) },
        { title: 'NAME', value: (entry) => entry.name },
      ]),
    );
    if (listing.truncated) output.remark('The directory holds more than the agent lists.');
  },
});
