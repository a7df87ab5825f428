import { BlockList, isIP } from 'node:net';
import { networkInterfaces } from 'node:os';
import { isLoopbackHost } from '@backhaul/protocol';

const loopback = new BlockList();
loopback.addSubnet('127.0.0.0', 8);
loopback.addAddress('::1', 'ipv6');

/** Other addresses of this machine than loopback: "this network", and IPv4 embedded in IPv6. */
const local = new BlockList();
local.addSubnet('0.0.0.0', 8);
// Unspecified, and the IPv4-compatible addresses (RFC 4291, section 2.5.5.1).
local.addSubnet('::', 96, 'ipv6');
// 0.0.0.0/8 and 127.0.0.0/8 behind NAT64 (RFC 6052).
local.addSubnet('64:ff9b::', 104, 'ipv6');
local.addSubnet('64:ff9b::7f00:0', 104, 'ipv6');

function isLoopbackAddress(address: string): boolean {
  return loopback.check(address, familyOf(address));
}

/** Whether an address belongs to this machine. @param own Addresses of its interfaces. */
export function isOwnAddress(address: string, own: readonly string[]): boolean {
  if (isLoopbackAddress(address) || local.check(address, familyOf(address))) return true;
  const interfaces = new BlockList();
  for (const each of own) {
    interfaces.addAddress(each, familyOf(each));
    if (isIP(each) === 4) interfaces.addAddress(`64:ff9b::${each}`, 'ipv6');
  }
  return interfaces.check(address, familyOf(address));
}

/**
 * Like `isLoopbackHost`, but for all addresses of this machine. Names other than `localhost` are checked after their DNS
 * lookup.
 *
 * @param own As for `isOwnAddress`; called only if needed, because the system call is slow.
 */
export function isOwnHost(hostname: string, own: () => readonly string[]): boolean {
  const host = bareHost(hostname);
  return isLoopbackHost(host) || (isIP(host) !== 0 && isOwnAddress(host, own()));
}

/** Addresses of this machine's interfaces. Not cached, because they can change. */
export function interfaceAddresses(): string[] {
  return Object.values(networkInterfaces()).flatMap((all) => (all ?? []).map(({ address }) => address));
}

/** `URL.hostname` without the brackets of an IPv6 address and the trailing dot of an absolute name. */
export function bareHost(hostname: string): string {
  return hostname.replace(/^\[(.*)\]$/, '$1').replace(/\.$/, '');
}

function familyOf(address: string): 'ipv4' | 'ipv6' {
  return isIP(address) === 6 ? 'ipv6' : 'ipv4';
}
