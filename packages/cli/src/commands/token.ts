import {
  clientIdSchema,
  MIN_JWT_SECRET_BYTES,
  type Scope,
  SCOPE_VERSION,
  TOKEN_ISSUER,
  type TokenKind,
  tokenKinds,
} from '@backhaul/protocol';
import { Option } from 'commander';
import { SignJWT } from 'jose';
import { parseDuration, parseScopes, parseSubject } from '../arguments.ts';
import { type CommandGroup, type Context, defineCommand } from '../command.ts';
import type { Setting } from '../config.ts';
import { UsageError } from '../errors.ts';
import { readableDuration } from '../readable.ts';

const AGENT_TTL_SECONDS = 365 * 86_400;
const OPERATOR_TTL_SECONDS = 12 * 3600;

interface AgentOptions {
  readonly clientId: string;
  readonly ttl: number;
}

const agentToken = defineCommand<readonly [], AgentOptions>({
  name: 'agent',
  summary: 'print an agent token for one machine',
  description: 'Signs with JWT_SECRET, without contacting the server. Prints only the token.',
  machine: { required: true, description: 'client_id of the machine' },
  options: [
    new Option('--ttl <duration>', 'lifetime, at most 366d')
      .argParser(parseDuration)
      .default(AGENT_TTL_SECONDS, '365d'),
  ],
  examples: [
    'backhaul token agent --client-id restaurant-1',
    'backhaul token agent --client-id restaurant-1 --ttl 30d > agent.token',
  ],
  async run(context, { options }) {
    const { clientId: subject, ttl: ttlSeconds } = options;
    await printToken(context, { kind: 'agent', subject, ttlSeconds });
  },
});

interface OperatorOptions {
  readonly scope: readonly Scope[];
  readonly subject: string;
  readonly ttl: number;
}

const operatorToken = defineCommand<readonly [], OperatorOptions>({
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
      .default(OPERATOR_TTL_SECONDS, '12h'),
  ],
  examples: [
    'backhaul token operator',
    'backhaul token operator --scope read,content,trigger,admin --ttl 30d --subject ops',
    'export BACKHAUL_TOKEN="$(backhaul token operator --scope read)"',
    'backhaul token operator --scope metrics --subject prometheus --ttl 31d',
  ],
  async run(context, { options }) {
    const { scope: scopes, subject, ttl: ttlSeconds } = options;
    await printToken(context, { kind: 'operator', subject, scopes, ttlSeconds });
  },
});

export const token: CommandGroup = {
  name: 'token',
  summary: 'create tokens for agents and operators',
  commands: [agentToken, operatorToken],
};

async function printToken({ config, output, now }: Context, request: TokenRequest): Promise<void> {
  const token = await mintToken(request, config.jwtSecret, now());
  if (output.json) output.value({ token });
  else output.line(token);
}

type TokenRequest =
  | { readonly kind: 'agent'; readonly subject: string; readonly ttlSeconds: number }
  | {
      readonly kind: 'operator';
      readonly subject: string;
      readonly ttlSeconds: number;
      readonly scopes: readonly Scope[];
    };

/**
 * Creates a token signed with HS256 that a server with the same JWT_SECRET accepts.
 *
 * @param now Milliseconds since the epoch.
 * @throws UsageError if the secret is too short or the lifetime too long.
 */
export async function mintToken(request: TokenRequest, secret: Setting, now: number): Promise<string> {
  const key = new TextEncoder().encode(secret.value);
  if (key.length < MIN_JWT_SECRET_BYTES) {
    throw new UsageError(
      `JWT_SECRET (from ${secret.source}) has ${key.length} bytes; HS256 needs at least ${MIN_JWT_SECRET_BYTES}.`,
      'Set a longer JWT_SECRET for server and command line, e.g. the output of: openssl rand -base64 48',
    );
  }
  assertLifetime(request.kind, request.ttlSeconds);
  if (request.kind === 'agent') clientIdSchema.parse(request.subject);
  const { audience, type } = tokenKinds[request.kind];
  const issuedAt = Math.floor(now / 1000);
  const claims =
    request.kind === 'operator' ? { scope: request.scopes.join(' '), scope_version: SCOPE_VERSION } : {};
  return await new SignJWT(claims)
    .setProtectedHeader({ alg: 'HS256', typ: type })
    .setIssuer(TOKEN_ISSUER)
    .setAudience(audience)
    .setSubject(request.subject)
    .setIssuedAt(issuedAt)
    .setExpirationTime(issuedAt + request.ttlSeconds)
    .sign(key);
}

function assertLifetime(kind: TokenKind, ttlSeconds: number): void {
  const { maxAgeSeconds } = tokenKinds[kind];
  if (ttlSeconds <= maxAgeSeconds) return;
  throw new UsageError(
    `--ttl: the server refuses ${kind} tokens with a lifetime of more than ${readableDuration(maxAgeSeconds * 1000)}.`,
    'Use a shorter --ttl.',
  );
}
