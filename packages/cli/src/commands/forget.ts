import { clientIdArgument } from '../argument-parsers.ts';
import { defineCommand } from '../command.ts';
import { connect } from '../context.ts';

export const forget = defineCommand<readonly [clientId: string]>({
  name: 'forget',
  summary: 'forget a machine, until its agent connects again',
  arguments: [clientIdArgument()],
  examples: ['backhaul forget restaurant-1'],
  async run(context, { arguments: [clientId] }) {
    const { output, signal } = context;
    await connect(context).deleteClient(clientId, { signal });
    if (output.json) output.value({ client_id: clientId, forgotten: true });
    else output.line(`${clientId} is forgotten.`);
  },
});
