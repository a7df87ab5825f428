import { proxyFor, unreadableProxies } from '@backhaul/program';
import type { Finding } from '@backhaul/protocol';
import type { Config } from './config.ts';
import { storeUrl } from './s3/s3-settings.ts';

/** Which proxy the server uses for what: for its log at the start and for `doctor`. Nothing if none is set. */
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
    const way =
      proxy === null
        ? `directly: it is this machine, or NO_PROXY names it, or no proxy is set for ${url.protocol}//`
        : `through ${proxy.address} (${proxy.variable})`;
    return { name, level: 'info', detail: `${what} at ${url.host}: ${way}`, fix: null };
  });
  const unreadable = unreadableProxies(proxies).map((variable): Finding => {
    const detail = `${variable} holds no address of an HTTP proxy; nothing here uses it`;
    return { name: 'proxy_variables', level: 'warning', detail, fix: null };
  });
  return [...findings, ...unreadable];
}
