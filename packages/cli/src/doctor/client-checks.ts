import { sendsInTheClear, toBaseUrl } from '@backhaul/client';
import { unreadableProxies } from '@backhaul/program';
import {
  BackhaulError,
  type Finding,
  hasLegacyRead,
  operatorClaimsSchema,
  type Scope,
  tokenKinds,
} from '@backhaul/protocol';
import { DEV_FILE } from '@backhaul/protocol/dev-file';
import { decodeJwt, decodeProtectedHeader } from 'jose';
import type { Config, Setting } from '../config.ts';
import { readableDuration } from '../readable.ts';

/** Reports the settings in use and their sources. Throws like `config.url`. */
export function checkSettings(config: Config): Finding[] {
  const { url } = config;
  const findings: Finding[] = [ok('settings', `server ${url.value} (${url.source})`)];
  if (sendsInTheClear(toBaseUrl(url.value))) {
    findings.push({
      name: 'encryption',
      level: 'warning',
      detail: 'The connection to the server does not use TLS: anyone on the network path can read the token.',
      fix: 'Use an https:// address.',
    });
  }
  return [...findings, ...checkProxies(config), ...checkDevFile(config)];
}

export function ok(name: string, detail: string): Finding {
  return { name, level: 'ok', detail, fix: null };
}

export function failed(name: string, detail: string, fix: string | null): Finding {
  return { name, level: 'error', detail, fix };
}

/** Reports which proxy is used for which address; returns no findings if none is set. */
function checkProxies({ url, network, proxies }: Config): Finding[] {
  if (proxies.HTTPS_PROXY === null && proxies.HTTP_PROXY === null) return [];
  const base = toBaseUrl(url.value);
  const toServer = network.proxyOf(base);
  const unreadable = unreadableProxies(proxies);
  const readable = (['HTTPS_PROXY', 'HTTP_PROXY'] as const).filter((name) => !unreadable.includes(name));
  const forFiles = readable.flatMap((variable) => {
    // An address that only NO_PROXY=* would match.
    const scheme = variable === 'HTTPS_PROXY' ? 'https' : 'http';
    const proxy = network.proxyOf(new URL(`${scheme}://store.invalid`));
    return proxy === null ? [] : [`${scheme}: ${proxy.address}`];
  });
  const exempt = proxies.NO_PROXY === '' ? '' : `, except for NO_PROXY (${proxies.NO_PROXY})`;
  return [
    ok(
      'proxy',
      toServer === null
        ? `${base.origin} is reached directly: it is this machine, or NO_PROXY matches it, or no proxy is set for ${base.protocol}//`
        : `${base.origin} is reached through ${toServer.address} (${toServer.variable})`,
    ),
    ok('proxy for files', forFiles.length === 0 ? 'none' : `${forFiles.join(', ')}${exempt}`),
    ...unreadable.map((variable): Finding => ({
      name: 'proxy',
      level: 'warning',
      detail: `${variable} is not the address of an HTTP proxy; requests that need it fail.`,
      fix: `Set ${variable} to an address such as http://proxy.example.com:3128, or unset it.`,
    })),
  ];
}

function checkDevFile(config: Config): Finding[] {
  const sources = [config.url.source, tokenSource(config)];
  if (!sources.includes(DEV_FILE)) return [];
  return [ok('dev file', `${DEV_FILE} is in use`)];
}

function tokenSource(config: Config): string | undefined {
  try {
    return config.token.source;
  } catch (error) {
    if (error instanceof BackhaulError) return undefined;
    throw error;
  }
}

const RENEW = 'Create a new token with "backhaul token operator" and set BACKHAUL_TOKEN.';
const SOON_MS = 10 * 60_000;

export interface TokenCheck {
  readonly findings: Finding[];
  /** The scopes of the token; empty if it cannot be parsed. */
  readonly scopes: readonly Scope[];
}

/** Checks a token without its key: format, kind, claims and expiry. */
export function checkToken({ value, source }: Setting, now: number): TokenCheck {
  let type: unknown;
  let claims: unknown;
  try {
    type = decodeProtectedHeader(value).typ;
    claims = decodeJwt(value);
  } catch {
    return unusable(`The token from ${source} is not a JWT.`);
  }
  if (type === tokenKinds.agent.type) {
    return unusable(`The token from ${source} is an agent token; the command line needs an operator token.`);
  }
  const parsed = operatorClaimsSchema.safeParse(claims);
  if (!parsed.success) {
    // Servers with a public key or a JWKS accept tokens of other issuers, whose claims may differ.
    const detail = `The token from ${source} lacks the claims of a Backhaul token.`;
    return { findings: [{ name: 'token', level: 'warning', detail, fix: RENEW }], scopes: [] };
  }
  const { sub, scope, exp } = parsed.data;
  const leftMs = exp * 1000 - now;
  if (leftMs <= 0) return unusable(`The token from ${source} expired ${readableDuration(-leftMs)} ago.`);
  const detail = `${sub} (${source}): ${scope.join(', ')}; expires in ${readableDuration(leftMs)}`;
  const findings: Finding[] = [
    leftMs < SOON_MS ? { name: 'token', level: 'warning', detail, fix: RENEW } : ok('token', detail),
  ];
  if (hasLegacyRead(parsed.data)) findings.push(legacyReadFinding());
  return { findings, scopes: scope };
}

/** Each server decides for how long it still accepts such a token. */
function legacyReadFinding(): Finding {
  const detail =
    'The token has no scope_version: its "read" includes content and metrics only until 31 days after the server was upgraded.';
  return { name: 'scopes', level: 'warning', detail, fix: `${RENEW} Other issuers add "scope_version": 2.` };
}

function unusable(detail: string): TokenCheck {
  return { findings: [failed('token', detail, RENEW)], scopes: [] };
}
