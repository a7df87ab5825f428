import type { IncomingMessage } from 'node:http';
import { isIP } from 'node:net';
import { rangeList } from '@backhaul/program';

/** Determines client addresses through trusted reverse proxies (`TRUSTED_PROXIES`). */
export class ClientAddresses {
  readonly #isProxy: (address: string) => boolean;

  /** @param trusted Addresses and ranges in CIDR notation. */
  constructor(trusted: readonly string[]) {
    const list = rangeList(trusted);
    // Runs several times for each request.
    const none = list === null || trusted.length === 0;
    this.#isProxy = none
      ? () => false
      : (address) => list.check(address, isIP(address) === 6 ? 'ipv6' : 'ipv4');
  }

  isProxy(address: string | undefined): boolean {
    const plain = withoutMapping(address ?? '');
    return isIP(plain) !== 0 && this.#isProxy(plain);
  }

  /**
   * The address of a request's sender: the last one in X-Forwarded-For that is not a trusted proxy's. Anyone can
   * write into that header, so only the entries added by trusted proxies count.
   */
  of({ socket, headers }: Pick<IncomingMessage, 'socket' | 'headers'>): string {
    let nearest = withoutMapping(socket.remoteAddress ?? '');
    if (!this.isProxy(nearest)) return nearest;
    const forwarded = String(headers['x-forwarded-for'] ?? '')
      .split(',')
      .map((entry) => withoutPort(entry.trim()));
    while (this.isProxy(nearest)) {
      const before = forwarded.pop();
      if (before === undefined || isIP(before) === 0) return nearest;
      nearest = withoutMapping(before);
    }
    return nearest;
  }

  /** Whether a request came through a reverse proxy, trusted or not: nginx uses HTTP/1.0 by default. */
  cameThroughProxy({ socket, headers, httpVersion }: IncomingMessage): boolean {
    const names = ['via', 'forwarded', 'x-forwarded-for', 'x-real-ip'];
    return (
      httpVersion === '1.0' ||
      this.isProxy(socket.remoteAddress) ||
      names.some((name) => headers[name] !== undefined)
    );
  }
}

/** The network that counts as one peer: one IPv6 host commonly has a whole /64 (RFC 4291, section 2.5.4). */
export function networkOf(address: string): string {
  const plain = withoutMapping(address);
  if (!plain.includes(':')) return plain;
  const [left = '', right = ''] = plain.split('::');
  const groups = left.split(':').filter((group) => group !== '');
  if (!plain.includes('::')) return groups.slice(0, 4).join(':');
  const tail = right.split(':').filter((group) => group !== '');
  const zeros = Array.from({ length: 8 - groups.length - tail.length }, () => '0');
  return [...groups, ...zeros, ...tail].slice(0, 4).join(':');
}

/** `::ffff:192.0.2.1` is the IPv4 address 192.0.2.1. */
function withoutMapping(address: string): string {
  return /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1] ?? address;
}

/** Some load balancers add the port. */
function withoutPort(entry: string): string {
  return /^\[([^\]]+)\](?::\d+)?$/.exec(entry)?.[1] ?? /^(\d+\.\d+\.\d+\.\d+):\d+$/.exec(entry)?.[1] ?? entry;
}
