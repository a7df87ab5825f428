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
