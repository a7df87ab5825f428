import { BlockList, isIP } from 'node:net';

const loopback = new BlockList();
loopback.addSubnet('127.0.0.0', 8);
loopback.addAddress('::1', 'ipv6');

/** Where clouds hand credentials to whoever asks from the machine itself. No object store lives there. */
const metadata = new BlockList();
metadata.addSubnet('169.254.0.0', 16);
metadata.addSubnet('fe80::', 10, 'ipv6');
metadata.addAddress('fd00:ec2::254', 'ipv6');
metadata.addAddress('100.100.100.200');
// 169.254.0.0/16 behind NAT64 (RFC 6052).
metadata.addSubnet('64:ff9b::a9fe:0', 112, 'ipv6');

export function isLoopbackAddress(address: string): boolean {
  return loopback.check(address, familyOf(address));
}

export function isMetadataAddress(address: string): boolean {
  return metadata.check(address, familyOf(address));
}

/** @param hostname As in `URL.hostname`. Names under `localhost` are loopback by RFC 6761, section 6.3. */
export function isLoopbackHost(hostname: string): boolean {
  const host = bareHost(hostname);
  if (isIP(host) !== 0) return isLoopbackAddress(host);
  return host === 'localhost' || host.endsWith('.localhost');
}

/** `URL.hostname` without the brackets of an IPv6 address, and without the dot that ends an absolute name. */
export function bareHost(hostname: string): string {
  return hostname.replace(/^\[(.*)\]$/, '$1').replace(/\.$/, '');
}

function familyOf(address: string): 'ipv4' | 'ipv6' {
  return isIP(address) === 6 ? 'ipv6' : 'ipv4';
}
