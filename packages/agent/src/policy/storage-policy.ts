import { lookup as systemLookup, type LookupAddress } from 'node:dns';
import { isIP, type LookupFunction } from 'node:net';
import { BackhaulError, isLoopbackHost } from '@backhaul/protocol';
import {
  bareHost,
  interfaceAddresses,
  isMetadataName,
  isOwnAddress,
  isOwnHost,
  kindOfAddress,
} from './addresses.ts';

interface StoragePolicyDeps {
  /** `--allow-storage`: origins in the format of `URL.origin`. Empty means any public https origin. */
  readonly origins: readonly string[];
  /** Only a server on the same machine may name a store on this machine. */
  readonly serverIsLocal: boolean;
  readonly resolve?: Resolve;
  /** Returns the current addresses of this machine's interfaces. */
  readonly ownAddresses?: () => readonly string[];
}

type Resolve = (
  hostname: string,
  options: { all: true },
  callback: (error: NodeJS.ErrnoException | null, addresses: LookupAddress[]) => void,
) => void;

/**
 * Headers that a part's URL can be bound to; a server has no reason to send others. If any header were allowed, the
 * agent would send `Authorization`, `Cookie` or `X-HTTP-Method-Override` to any service at the address.
 */
const partHeaders =
  /^(?:content-length|content-md5|content-type|x-amz-checksum-(?:crc32|crc32c|crc64nvme|sha1|sha256)|x-amz-sdk-checksum-algorithm)$/i;

/**
 * Decides where the agent may upload to. A hostile server must not be able to reach the agent's network through it.
 * Origins are parsed before they are compared, because patterns over URLs can be bypassed.
 */
export class StoragePolicy {
  readonly #deps: StoragePolicyDeps;

  constructor(deps: StoragePolicyDeps) {
    this.#deps = deps;
  }

  /** @throws BackhaulError `storage_not_allowed`; the message names the origin, never the query. */
  check(url: URL, headers: Readonly<Record<string, string>>): void {
    const { origins, serverIsLocal } = this.#deps;
    const host = bareHost(url.hostname);
    const own = isOwnHost(host, () => this.#ownAddresses());
    const named = origins.includes(url.origin);
    const kind = isIP(host) === 0 ? 'public' : kindOfAddress(host);
    if (url.protocol !== 'https:' && url.protocol !== 'http:')
      refuse(url, 'the scheme is neither https nor http');
    if (url.username !== '' || url.password !== '') {
      refuse(url, 'the URL contains a user name or password');
    }
    if (kind === 'metadata' || isMetadataName(host)) refuse(url, 'it is a link-local or metadata address');
    if (origins.length > 0 && !named) {
      refuseUnlessNamed(url, 'it is not one of the --allow-storage origins');
    }
    if (!named && own && !serverIsLocal) {
      refuseUnlessNamed(url, 'it is an address of this machine, and the server is on another machine');
    }
    if (!named && !own && kind === 'private') {
      refuseUnlessNamed(url, 'it is an address of a private or reserved network');
    }
    if (!named && url.protocol === 'http:' && !own) refuseUnlessNamed(url, 'it is not encrypted (https)');
    const unexpected = Object.keys(headers).find((name) => !partHeaders.test(name));
    if (unexpected !== undefined) refuse(url, `the header ${unexpected} is not allowed for a part`);
  }

  /**
   * Whether the server may receive the exact response of the store at this address: the owner named it, or both the store
   * and the server are on this machine.
   */
  isTrusted(url: URL): boolean {
    const { origins, serverIsLocal } = this.#deps;
    return (
      origins.includes(url.origin) ||
      (serverIsLocal && isOwnHost(bareHost(url.hostname), () => this.#ownAddresses()))
    );
  }

  /** DNS lookup for a request that passed `check`; fails if the name resolves to an address that must be refused. */
  lookupFor(url: URL): LookupFunction {
    return (hostname, options, callback) => {
      const resolve: Resolve = this.#deps.resolve ?? systemLookup;
      resolve(hostname, { ...options, all: true }, (error, addresses) => {
        if (error) return callback(error, []);
        try {
          this.#checkResolved(url, hostname, addresses);
        } catch (refusal) {
          return callback(refusal as BackhaulError, []);
        }
        const [first] = addresses;
        if (options.all === true) return callback(null, addresses);
        return callback(null, first?.address ?? '', first?.family ?? 4);
      });
    };
  }

  #checkResolved(url: URL, hostname: string, addresses: readonly LookupAddress[]): void {
    const { origins, serverIsLocal } = this.#deps;
    const named = origins.includes(url.origin);
    const own = this.#ownAddresses();
    for (const { address } of addresses) {
      const kind = kindOfAddress(address);
      if (kind === 'metadata') refuse(url, 'the name resolves to a link-local or metadata address', address);
      if (named) continue;
      if (isOwnAddress(address, own)) {
        if (serverIsLocal || isLoopbackHost(hostname)) continue;
        refuseUnlessNamed(
          url,
          'the name resolves to this machine, and the server is on another machine',
          address,
        );
      }
      if (kind === 'private') {
        refuseUnlessNamed(url, 'the name resolves to an address of a private or reserved network', address);
      }
    }
  }

  #ownAddresses(): readonly string[] {
    return (this.#deps.ownAddresses ?? interfaceAddresses)();
  }
}

/** @param address The resolved address, for the agent's log only, not for the server. */
function refuse(url: URL, reason: string, address?: string): never {
  const cause = address === undefined ? undefined : new Error(`${url.hostname} resolves to ${address}`);
  throw new BackhaulError('storage_not_allowed', `The agent does not upload to ${url.origin}: ${reason}.`, {
    cause,
  });
}

function refuseUnlessNamed(url: URL, reason: string, address?: string): never {
  return refuse(url, `${reason}. To allow it, start the agent with --allow-storage ${url.origin}`, address);
}
