import { sendsInTheClear, toBaseUrl } from '@backhaul/client';
import { unreadableProxies } from '@backhaul/program';
import { BackhaulError, DEV_FILE, type Finding } from '@backhaul/protocol';
import type { Config } from '../config.ts';

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
