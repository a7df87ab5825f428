import { Option } from 'commander';
import { defineCommand } from '../command.ts';
import { connect } from '../context.ts';

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
