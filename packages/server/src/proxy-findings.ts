import { proxyFor, unreadableProxies } from '@backhaul/program';
import type { Finding } from '@backhaul/protocol';
import type { Config } from './config.ts';
import { storeUrl } from './s3/s3-settings.ts';

/**
 * Findings on which proxy the server uses for what, for the log at the start and for `doctor`. Empty without a proxy.
 */
export function proxyFindings({ proxies, s3, jwt }: Pick<Config, 'proxies' | 's3' | 'jwt'>): Finding[] {
  if (proxies.HTTPS_PROXY === null && proxies.HTTP_PROXY === null) return [];
  const uses: readonly (readonly [name: string, what: string, url: URL])[] = [
    ['proxy_object_store', 'calls to the object store', storeUrl(s3)],
    ...(jwt.kind === 'jwks'
      ? [['proxy_key_set', 'the key set (JWT_JWKS_URL)', new URL(jwt.url)] as const]
      : []),
  ];
  const findings = uses.map(([name, what, url]): Finding => {
    const proxy = proxyFor(url, proxies);
    const route =
      proxy === null
        ? `direct connection: it is this machine, NO_PROXY lists it, or no proxy is set for ${url.protocol}//`
        : `through ${proxy.address} (${proxy.variable})`;
    return { name, level: 'info', detail: `${what} at ${url.host}: ${route}`, fix: null };
  });
  const unreadable = unreadableProxies(proxies).map((variable): Finding => {
    const detail = `${variable} is not the address of an HTTP proxy; it is ignored`;
    return { name: 'proxy_variables', level: 'warning', detail, fix: null };
  });
  return [...findings, ...unreadable];
}
