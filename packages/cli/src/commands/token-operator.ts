import type { Scope } from '@backhaul/protocol';
import { Option } from 'commander';
import { parseDuration, parseScopes, parseSubject } from '../argument-parsers.ts';
import { defineCommand } from '../command.ts';
import { mintToken } from '../mint-token.ts';

const DEFAULT_TTL_SECONDS = 12 * 3600;

interface Options {
  readonly scope: readonly Scope[];
  readonly subject: string;
  readonly ttl: number;
}

export const tokenOperator = defineCommand<readonly [], Options>({
  name: 'operator',
  summary: 'print an operator token',
  description:
    'For a person or a program that uses the API. Signs with JWT_SECRET, without contacting the server. Prints only ' +
    'the token.',
  options: [
    new Option('--scope <scopes>', 'comma-separated permissions: read, content, trigger, metrics, admin')
      .argParser(parseScopes)
      .default(['read', 'content', 'trigger'], 'read,content,trigger'),
    new Option('--subject <name>', 'name of the operator, recorded as requested_by')
      .argParser(parseSubject)
      .default('operator'),
    new Option('--ttl <duration>', 'lifetime, at most 31d')
      .argParser(parseDuration)
      .default(DEFAULT_TTL_SECONDS, '12h'),
  ],
  examples: [
    'backhaul token operator',
    'backhaul token operator --scope read,content,trigger,admin --ttl 30d --subject ops',
    'export BACKHAUL_TOKEN="$(backhaul token operator --scope read)"',
    'backhaul token operator --scope metrics --subject prometheus --ttl 31d',
  ],
  async run({ config, output, now }, { options }) {
    const { scope: scopes, subject, ttl: ttlSeconds } = options;
    const token = await mintToken({ kind: 'operator', subject, scopes, ttlSeconds }, config.jwtSecret, now());
    if (output.json) output.value({ token });
    else output.line(token);
  },
});
