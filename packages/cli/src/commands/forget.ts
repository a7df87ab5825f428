import { defineCommand } from '../command.ts';
import { connect } from '../context.ts';

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
