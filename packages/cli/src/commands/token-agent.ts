import { Option } from 'commander';
import { parseDuration } from '../argument-parsers.ts';
import { defineCommand } from '../command.ts';
import { mintToken } from '../mint-token.ts';

const DEFAULT_TTL_SECONDS = 365 * 86_400;

interface Options {
  readonly clientId: string;
  readonly ttl: number;
}

export const tokenAgent = defineCommand<readonly [], Options>({
  name: 'agent',
  summary: 'print an agent token for one machine',
  description: 'Signs with JWT_SECRET, without contacting the server. Prints only the token.',
  machine: { required: true, description: 'client_id of the machine' },
  options: [
    new Option('--ttl <duration>', 'lifetime, at most 366d')
      .argParser(parseDuration)
      .default(DEFAULT_TTL_SECONDS, '365d'),
  ],
  examples: [
    'backhaul token agent --client-id restaurant-1',
    'backhaul token agent --client-id restaurant-1 --ttl 30d > agent.token',
  ],
  async run({ config, output, now }, { options }) {
    const request = { kind: 'agent', subject: options.clientId, ttlSeconds: options.ttl } as const;
    const token = await mintToken(request, config.jwtSecret, now());
    if (output.json) output.value({ token });
    else output.line(token);
  },
});
