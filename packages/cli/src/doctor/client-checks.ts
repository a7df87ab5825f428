import { sendsInTheClear, toBaseUrl } from '@backhaul/client';
import { unreadableProxies } from '@backhaul/program';
import { BackhaulError, DEV_FILE, type Finding } from '@backhaul/protocol';
import type { Config } from '../config.ts';

/** Which settings are in use and where they come from. Throws what `config.url` throws. */
export function checkSettings(config: Config): Finding[] {
  const { url } = config;
  const findings: Finding[] = [ok('settings', `server ${url.value} (${url.source})`)];
  if (sendsInTheClear(toBaseUrl(url.value))) {
    findings.push({
      name: 'encryption',
      level: 'warning',
      detail: 'The server is reached without TLS: the token can be read on the way.',
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

/** Which proxy is used for what; nothing if none is set. */
function checkProxies({ url, network, proxies }: Config): Finding[] {
  if (proxies.HTTPS_PROXY === null && proxies.HTTP_PROXY === null) return [];
  const base = toBaseUrl(url.value);
  const toServer = network.proxyOf(base);
  const unreadable = unreadableProxies(proxies);
  const readable = (['HTTPS_PROXY', 'HTTP_PROXY'] as const).filter((name) => !unreadable.includes(name));
  const forFiles = readable.flatMap((variable) => {
    // An address that no NO_PROXY names, short of "*".
    const scheme = variable === 'HTTPS_PROXY' ? 'https' : 'http';
    const proxy = network.proxyOf(new URL(`${scheme}://store.invalid`));
    return proxy === null ? [] : [`${scheme}: ${proxy.address}`];
  });
  const exempt = proxies.NO_PROXY === '' ? '' : `, except for NO_PROXY (${proxies.NO_PROXY})`;
  return [
    ok(
      'proxy',
      toServer === null
        ? `${base.origin} is reached directly: it is this machine, or NO_PROXY names it, or no proxy is set for ${base.protocol}//`
        : `${base.origin} is reached through ${toServer.address} (${toServer.variable})`,
    ),
    ok('proxy for files', forFiles.length === 0 ? 'none' : `${forFiles.join(', ')}${exempt}`),
    ...unreadable.map((variable): Finding => ({
      name: 'proxy',
      level: 'warning',
      detail: `${variable} holds no address of an HTTP proxy; what needs it fails.`,
      fix: `Set ${variable} to an address such as http://proxy.example.com:3128, or leave it out.`,
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
