/**
 * Whether requests to `host` go through `proxy`, by the usual reading of NO_PROXY: names separated by commas, each
 * with all its subdomains; `*` is all.
 */
export function proxyFor(host: string, proxy: string | undefined, noProxy: string | undefined): boolean {
  if (proxy === undefined || proxy === '') return false;
  const exempt = (noProxy ?? '').split(',').map((name) => name.trim().toLowerCase());
  return !exempt.some((name) => {
    if (name === '*') return true;
    const bare = name.replace(/^\*?\./, '').replace(/:\d+$/, '');
    return bare !== '' && (host === bare || host.endsWith(`.${bare}`));
  });
}
