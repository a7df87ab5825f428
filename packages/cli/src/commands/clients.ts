import type { ClientSummary } from '@backhaul/protocol';
import { Option } from 'commander';
import { limitsOf, maxRateOption, parallelPartsOption, parseLabels } from '../arguments.ts';
import { connect, type Context, defineCommand } from '../command.ts';
import { renderTable } from '../output.ts';
import { type PagingOptions, pagingOptions, printList } from '../paging.ts';
import {
  describeLabels,
  describeLimits,
  describePlatform,
  describeTokenEnd,
  readableAge,
} from '../readable.ts';

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
    const client = connect(context);
    const { label } = options;
    const connected = options.connected === true ? true : options.away === true ? false : undefined;
    await printList(context, options, {
      name: 'clients',
      fetch: async (range) => await client.listClients({ connected, label, ...range }, context),
      table: (rows) => clientTable(rows, context),
    });
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

/** `blocked`, `connected` or `away`. */
function describeState({ connected, blocked }: ClientSummary): 'blocked' | 'connected' | 'away' {
  if (blocked != null) return 'blocked';
  return connected ? 'connected' : 'away';
}

export const block = defineCommand<readonly [], { readonly clientId: string; readonly reason?: string }>({
  name: 'block',
  summary: "block a machine: refuse its agent's connections",
  description:
    'The machine stays blocked until it is unblocked. Its unfinished uploads wait, and expire at their deadlines unless they are cancelled; new uploads are refused. Requires the scope admin.',
  machine: { required: true, description: "the machine's client_id" },
  options: [new Option('--reason <text>', 'reason, recorded with the block')],
  examples: ['backhaul block restaurant-1 --reason "stolen"'],
  async run(context, { options: { clientId, reason } }) {
    const { output, signal } = context;
    const blocked = await connect(context).blockClient(clientId, { reason, signal });
    if (output.json) output.value({ client_id: clientId, ...blocked });
    else output.line(`${clientId} is blocked. To let it connect again: backhaul unblock ${clientId}`);
  },
});

export const unblock = defineCommand<readonly [], { readonly clientId: string }>({
  name: 'unblock',
  summary: 'let a blocked machine connect again',
  description: 'Its agent reconnects by itself within two minutes. Requires the scope admin.',
  machine: { required: true, description: "the machine's client_id" },
  examples: ['backhaul unblock restaurant-1'],
  async run(context, { options: { clientId } }) {
    const { output, signal } = context;
    await connect(context).unblockClient(clientId, { signal });
    if (output.json) output.value({ client_id: clientId, blocked: false });
    else output.line(`${clientId} is not blocked.`);
  },
});

export const forget = defineCommand<readonly [], { readonly clientId: string }>({
  name: 'forget',
  summary: 'remove a machine from the list until its agent reconnects',
  machine: { required: true, description: "the machine's client_id" },
  examples: ['backhaul forget restaurant-1'],
  async run(context, { options: { clientId } }) {
    const { output, signal } = context;
    await connect(context).deleteClient(clientId, { signal });
    if (output.json) output.value({ client_id: clientId, forgotten: true });
    else output.line(`Removed ${clientId}.`);
  },
});

interface LimitsOptions {
  readonly clientId: string;
  readonly parallelParts?: number;
  readonly maxRate?: number;
  readonly none?: boolean;
}

export const limits = defineCommand<readonly [], LimitsOptions>({
  name: 'limits',
  summary: 'show or set the upload limits of a machine',
  description:
    'Without options: shows the limits. With options: replaces the limits, which apply to each upload of the machine ' +
    'from its next attempt. For a limit that is not given, the server’s default applies. The limits set on the ' +
    'agent’s machine always apply as well.',
  machine: { required: true, description: "the machine's client_id" },
  options: [
    parallelPartsOption(),
    maxRateOption(),
    new Option('--none', 'remove both limits: the server’s defaults apply').conflicts([
      'parallelParts',
      'maxRate',
    ]),
  ],
  examples: [
    'backhaul limits restaurant-1',
    'backhaul limits restaurant-1 --parallel-parts 1 --max-rate 250000',
    'backhaul limits restaurant-1 --none',
  ],
  async run(context, { options }) {
    const { clientId } = options;
    const { output, signal } = context;
    const client = connect(context);
    const wanted = options.none === true ? {} : limitsOf(options);
    const found =
      wanted === null
        ? await client.getStatus(clientId, { signal })
        : await client.setClientLimits(clientId, wanted, { signal });
    if (output.json) output.value({ client_id: found.client_id, limits: found.limits ?? null });
    else output.line(`${found.client_id}: ${describeLimits(found.limits) ?? 'no limits set'}.`);
  },
});
