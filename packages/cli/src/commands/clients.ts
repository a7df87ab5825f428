import type { ClientSummary } from '@backhaul/protocol';
import { Option } from 'commander';
import { type PagingOptions, pagingOptions, parseLabels } from '../argument-parsers.ts';
import { defineCommand } from '../command.ts';
import { connect, type Context } from '../context.ts';
import { describeLabels, describePlatform, describeState, describeTokenEnd } from '../describe-client.ts';
import { readableAge } from '../readable.ts';
import { renderTable } from '../table.ts';

interface Options extends PagingOptions {
  readonly connected?: boolean;
  readonly away?: boolean;
  readonly label?: readonly string[];
}

export const clients = defineCommand<readonly [], Options>({
  name: 'clients',
  summary: 'list the machines known to the server',
  options: [
    new Option('--connected', 'only machines that are connected').conflicts('away'),
    new Option('--away', 'only machines that are not connected'),
    new Option(
      '--label <name=value>',
      'only machines with this label; may be repeated, then all labels must match',
    )
      .argParser(parseLabels)
      .default([], 'any'),
    ...pagingOptions(),
  ],
  examples: ['backhaul clients', 'backhaul clients --connected --label site=berlin --label floor=2'],
  async run(context, { options }) {
    const { output, signal } = context;
    const client = connect(context);
    const { limit, cursor, label, all = false } = options;
    const connected = options.connected === true ? true : options.away === true ? false : undefined;
    if (all) {
      const found: ClientSummary[] = [];
      for await (const summary of client.eachClient({ connected, label, limit: limit ?? 500 }, { signal })) {
        found.push(summary);
      }
      if (output.json) output.value({ clients: found, next_cursor: null });
      else output.lines(clientTable(found, context));
      return;
    }
    const page = await client.listClients({ connected, label, limit, cursor }, { signal });
    if (output.json) output.value(page);
    else {
      output.lines(clientTable(page.clients, context));
      if (page.next_cursor !== null) output.remark('More results: use --all or a larger --limit.');
    }
  },
});

const stateStyles = { blocked: 'red', connected: 'green', away: 'yellow' } as const;

function clientTable(rows: readonly ClientSummary[], { output, now }: Context): string[] {
  return renderTable(rows, [
    { title: 'CLIENT', value: (row) => row.client_id },
    {
      title: 'STATE',
      value: describeState,
      paint: (text, row) => output.paint(stateStyles[describeState(row)], text),
    },
    { title: 'SEEN', align: 'right', value: (row) => readableAge(row.last_seen_at, now()) },
    { title: 'TOKEN ENDS', align: 'right', value: (row) => describeTokenEnd(row, now()) },
    { title: 'AGENT', value: (row) => row.agent_version ?? '–' },
    { title: 'PLATFORM', value: (row) => describePlatform(row.platform) },
    { title: 'LABELS', value: (row) => describeLabels(row.labels) },
  ]);
}
