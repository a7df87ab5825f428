import { type LookupAddress, lookup as systemLookup } from 'node:dns';
import { type LookupFunction, isIP } from 'node:net';
import { BackhaulError, isLoopbackHost } from '@backhaul/protocol';
import { isMetadataName, kindOfAddress } from './address-kinds.ts';
import { bareHost, interfaceAddresses, isOwnAddress, isOwnHost } from './addresses.ts';

interface StoragePolicyOptions {
  /** `--allow-storage`: origins as `URL.origin` spells them. Empty means any public https origin. */
  readonly origins: readonly string[];
  /** Only a server on this very machine may send the agent to a store on this machine. */
  readonly serverIsLocal: boolean;
  readonly resolve?: Resolve;
  /** Addresses of this machine's interfaces; asked for anew each time. */
  readonly ownAddresses?: () => readonly string[];
}

type Resolve = (
  hostname: string,
  options: { all: true },
  callback: (error: NodeJS.ErrnoException | null, addresses: LookupAddress[]) => void,
) => void;

/**
 * Headers that a part's URL is bound to; a server has no reason to send another. With any header allowed, the agent
 * would carry `Authorization`, `Cookie` or `X-HTTP-Method-Override` to whatever answers at the address.
 */
const partHeaders =
  /^(?:content-length|content-md5|content-type|x-amz-checksum-(?:crc32|crc32c|crc64nvme|sha1|sha256)|x-amz-sdk-checksum-algorithm)$/i;

/**
 * Where the agent uploads to. The server can be hostile: it must not be able to use the agent as a way into the
 * network that the agent sits in. Origins are compared parsed; patterns over URLs get bypassed.
 */
export class StoragePolicy {
  readonly #options: StoragePolicyOptions;

  constructor(options: StoragePolicyOptions) {
    this.#options = options;
  }

  /** @throws BackhaulError `storage_not_allowed`; the message names the origin, never the query. */
  check(url: URL, headers: Readonly<Record<string, string>>): void {
    const { origins, serverIsLocal } = this.#options;
    const host = bareHost(url.hostname);
    const own = isOwnHost(host, () => this.#ownAddresses());
    const named = origins.includes(url.origin);
    const kind = isIP(host) === 0 ? 'public' : kindOfAddress(host);
    if (url.protocol !== 'https:' && url.protocol !== 'http:') refuse(url, 'it is neither https nor http');
    if (url.username !== '' || url.password !== '') {
      refuse(url, 'the address carries a user name or password');
    }
    if (kind === 'metadata' || isMetadataName(host)) refuse(url, 'it is a link-local or metadata address');
    if (origins.length > 0 && !named) {
      refuseUnlessNamed(url, 'it is not among the origins given with --allow-storage');
    }
    if (!named && own && !serverIsLocal) {
      refuseUnlessNamed(url, "it is this machine's own address, and the server is elsewhere");
    }
    if (!named && !own && kind === 'private') {
      refuseUnlessNamed(url, 'it is an address of a private or reserved network');
    }
    if (!named && url.protocol === 'http:' && !own) refuseUnlessNamed(url, 'it is not encrypted (https)');
    const strange = Object.keys(headers).find((name) => !partHeaders.test(name));
    if (strange !== undefined) refuse(url, `the header ${strange} is not one that a part may carry`);
  }

  /**
   * Whether the server may hear what exactly the store at this address answered: the owner named it, or it is on this
   * machine, as the server is.
   */
  isTrusted(url: URL): boolean {
    const { origins, serverIsLocal } = this.#options;
    return (
      origins.includes(url.origin) ||
      (serverIsLocal && isOwnHost(bareHost(url.hostname), () => this.#ownAddresses()))
    );
  }

  /** The DNS look-up of a request that passed `check`: a name must not lead to an address that is refused as such. */
  lookupFor(url: URL): LookupFunction {
    return (hostname, options, callback) => {
      const resolve: Resolve = this.#options.resolve ?? systemLookup;
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
    const { origins, serverIsLocal } = this.#options;
    const named = origins.includes(url.origin);
    const own = this.#ownAddresses();
    for (const { address } of addresses) {
      const kind = kindOfAddress(address);
      if (kind === 'metadata') refuse(url, 'the name leads to a link-local or metadata address', address);
      if (named) continue;
      if (isOwnAddress(address, own)) {
        if (serverIsLocal || isLoopbackHost(hostname)) continue;
        refuseUnlessNamed(url, 'the name leads to this machine, and the server is elsewhere', address);
      }
      if (kind === 'private') {
        refuseUnlessNamed(url, 'the name leads to an address of a private or reserved network', address);
      }
    }
  }

  #ownAddresses(): readonly string[] {
    return (this.#options.ownAddresses ?? interfaceAddresses)();
  }
}

/** @param address Where the name led to: for the agent's own log, not for the server. */
function refuse(url: URL, why: string, address?: string): never {
  const cause = address === undefined ? undefined : new Error(`${url.hostname} resolves to ${address}`);
  throw new BackhaulError('storage_not_allowed', `The agent does not upload to ${url.origin}: ${why}.`, {
    cause,
  });
}

function refuseUnlessNamed(url: URL, why: string, address?: string): never {
  return refuse(url, `${why}. To allow it, start the agent with --allow-storage ${url.origin}`, address);
}
