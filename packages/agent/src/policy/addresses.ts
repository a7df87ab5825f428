import { BlockList, isIP } from 'node:net';
import { networkInterfaces } from 'node:os';
import { isLoopbackHost } from '@backhaul/protocol';

/**
 * - `metadata`: link-local, or a cloud service that gives credentials to any request from the machine itself.
 * - `private`: in the site's own network, or in no network (multicast, reserved, documentation).
 * - `public`: everything else.
 */
export type AddressKind = 'metadata' | 'private' | 'public';

const metadataIpv4 = blockList([
  '169.254.0.0/16', // Link-local (RFC 3927); most clouds
  '100.100.100.200/32', // Alibaba Cloud
  '168.63.129.16/32', // Azure's wire server
  '192.0.0.192/32', // Oracle Cloud, its older address
]);

const metadataIpv6 = blockList([
  'fe80::/10', // Link-local
  'fd00:ec2::/32', // AWS: instance metadata, and the credentials of pods
  'fd20:ce::/32', // Google Cloud
  'fd00:c1::/32', // Oracle Cloud
  'fd00:42::/32', // Scaleway
]);

/** Names that resolve to a metadata service everywhere, also behind a proxy. */
const metadataNames = new Set(['metadata.google.internal', 'metadata.goog']);

/** IANA registry of special-purpose IPv4 addresses, and multicast. */
const privateIpv4 = blockList([
  '0.0.0.0/8',
  '10.0.0.0/8',
  '100.64.0.0/10', // Carrier-grade NAT (RFC 6598)
  '127.0.0.0/8',
  '172.16.0.0/12',
  '192.0.0.0/24',
  '192.0.2.0/24',
  '192.88.99.0/24', // Relays of 6to4
  '192.168.0.0/16',
  '198.18.0.0/15',
  '198.51.100.0/24',
  '203.0.113.0/24',
  '224.0.0.0/4',
  '240.0.0.0/4',
]);

/** Non-public ranges of the global unicast space, 2000::/3. No address outside of that space is public. */
const privateIpv6 = blockList([
  '2001::/23', // Teredo, ORCHID and other protocols (RFC 2928)
  '2001:db8::/32',
  '2002::/16', // 6to4
  '3fff::/20',
]);

/** @param address An address that `isIP` accepts, with or without a zone (`%eth0`). */
export function kindOfAddress(address: string): AddressKind {
  if (isIP(address) === 4) return kindOfIpv4(address);
  const bytes = bytesOfIpv6(address);
  const bare = address.split('%', 1).join('');
  const transparent = transparentIpv4(bytes);
  if (transparent !== null) return kindOfIpv4(transparent);
  const isMetadata =
    metadataIpv6.check(bare, 'ipv6') || tunnelledIpv4(bytes).some((ipv4) => kindOfIpv4(ipv4) === 'metadata');
  if (isMetadata) return 'metadata';
  const global = (bytes[0] ?? 0) >> 5 === 1 && !privateIpv6.check(bare, 'ipv6') && !isIsatap(bytes);
  return global ? 'public' : 'private';
}

/** @param host Result of `bareHost`. */
export function isMetadataName(host: string): boolean {
  return metadataNames.has(host.toLowerCase());
}

function kindOfIpv4(address: string): AddressKind {
  if (metadataIpv4.check(address)) return 'metadata';
  return privateIpv4.check(address) ? 'private' : 'public';
}

/** The IPv4 address that this one maps to: IPv4-mapped (RFC 4291), or the well-known NAT64 prefix (RFC 6052). */
function transparentIpv4(bytes: Buffer): string | null {
  const prefix = bytes.toString('hex', 0, 12);
  const transparent = prefix === '00000000000000000000ffff' || prefix === '0064ff9b0000000000000000';
  return transparent ? quad(bytes, [12, 13, 14, 15]) : null;
}

/** IPv4 addresses that a tunnel or translator may extract from this one. Such addresses are never public. */
function tunnelledIpv4(bytes: Buffer): string[] {
  const hex = bytes.toString('hex');
  // IPv4-compatible (RFC 4291), and IPv4-translated (RFC 2765).
  if (hex.startsWith('0'.repeat(24)) || hex.startsWith(`${'0'.repeat(16)}ffff0000`)) {
    return [quad(bytes, [12, 13, 14, 15])];
  }
  // Local-use NAT64 (RFC 8215), with a prefix length of 96, 48, 56 or 64.
  if (hex.startsWith('0064ff9b0001')) {
    const layouts = [
      [12, 13, 14, 15],
      [6, 7, 9, 10],
      [7, 9, 10, 11],
      [9, 10, 11, 12],
    ];
    return layouts.map((offsets) => quad(bytes, offsets));
  }
  const found = isIsatap(bytes) ? [quad(bytes, [12, 13, 14, 15])] : [];
  if (hex.startsWith('2002')) found.push(quad(bytes, [2, 3, 4, 5]));
  if (hex.startsWith('20010000')) {
    // Teredo (RFC 4380): the server, and the client with all bits inverted.
    const inverted = Buffer.from(bytes.map((byte) => byte ^ 0xff));
    found.push(quad(bytes, [4, 5, 6, 7]), quad(inverted, [12, 13, 14, 15]));
  }
  return found;
}

/** RFC 5214, section 6.1, with any prefix. */
function isIsatap(bytes: Buffer): boolean {
  return /^0[02]005efe$/.test(bytes.toString('hex', 8, 12));
}

function quad(bytes: Buffer, offsets: readonly number[]): string {
  return offsets.map((offset) => bytes[offset]).join('.');
}

function bytesOfIpv6(address: string): Buffer {
  // The URL parser normalizes any spelling to at most eight groups without a dotted quad.
  const { hostname } = new URL(`http://[${address.split('%', 1).join('')}]/`);
  const [head = '', tail = ''] = hostname.slice(1, -1).split('::');
  const groups = (text: string): string[] => (text === '' ? [] : text.split(':'));
  const [left, right] = [groups(head), groups(tail)];
  const zeros = Array.from({ length: 8 - left.length - right.length }, () => '0');
  return Buffer.from([...left, ...zeros, ...right].map((group) => group.padStart(4, '0')).join(''), 'hex');
}

function blockList(subnets: readonly string[]): BlockList {
  const list = new BlockList();
  for (const subnet of subnets) {
    const [address = '', prefix] = subnet.split('/');
    list.addSubnet(address, Number(prefix), isIP(address) === 6 ? 'ipv6' : 'ipv4');
  }
  return list;
}

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
