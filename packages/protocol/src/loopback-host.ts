/**
 * Whether a host is this machine, without resolving its name. Names below `localhost` are loopback by RFC 6761, section
 * 6.3.
 *
 * @param hostname Value of `URL.hostname`, in which IPv4 addresses are normalised.
 */
export function isLoopbackHost(hostname: string): boolean {
  const host = hostname.replace(/^\[(.*)\]$/, '$1').replace(/\.$/, '');
  return (
    host === 'localhost' ||
    host.endsWith('.localhost') ||
    host === '::1' ||
    /^127\.\d+\.\d+\.\d+$/.test(host) ||
    // IPv4-mapped address (RFC 4291, section 2.5.5.2).
    /^::ffff:7f[0-9a-f]{2}:[0-9a-f]{1,4}$/.test(host)
  );
}
