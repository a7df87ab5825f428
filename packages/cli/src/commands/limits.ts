import { Option } from 'commander';
import { limitsOf, maxRateOption, parallelPartsOption } from '../argument-parsers.ts';
import { defineCommand } from '../command.ts';
import { connect } from '../context.ts';
import { describeLimits } from '../readable.ts';

interface Options {
  readonly clientId: string;
  readonly parallelParts?: number;
  readonly maxRate?: number;
  readonly none?: boolean;
}

export const limits = defineCommand<readonly [], Options>({
  name: 'limits',
  summary: 'show or set how fast uploads of a machine may go',
  description:
    'Without options: shows the limits. With options: sets them for each upload of the machine, from its next attempt ' +
    'on; one that is not given is as the server has it. What the owner of the agent allows holds as well.',
  machine: { required: true, description: "the machine's client_id" },
  options: [
    parallelPartsOption(),
    maxRateOption(),
    new Option('--none', 'remove both: the limits are those of the server').conflicts([
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
    else output.line(`${found.client_id}: ${describeLimits(found.limits) ?? 'no limits of its own'}.`);
  },
});
