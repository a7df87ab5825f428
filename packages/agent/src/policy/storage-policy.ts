import { type LookupAddress, lookup as systemLookup } from 'node:dns';
import { type LookupFunction, isIP } from 'node:net';
import { BackhaulError } from '@backhaul/protocol';
import {
  bareHost,
  interfaceAddresses,
  isLoopbackHost,
  isMetadataAddress,
  isOwnAddress,
  isOwnHost,
} from './addresses.ts';

interface StoragePolicyOptions {
  /** `--allow-storage`: origins as `URL.origin` spells them. Empty means any https origin. */
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

/** Headers that would change how the request is framed or where it goes, instead of describing the part. */
const framingHeaders =
  /^(?:host|connection|transfer-encoding|upgrade|expect|te|trailer|keep-alive|proxy-.*)$/i;

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
    const refuse = (why: string): never => {
      throw new BackhaulError('storage_not_allowed', `The agent does not upload to ${url.origin}: ${why}.`);
    };
    const { origins, serverIsLocal } = this.#options;
    const host = bareHost(url.hostname);
    const own = isOwnHost(host, () => this.#ownAddresses());
    const pinned = origins.includes(url.origin);
    if (url.protocol !== 'https:' && url.protocol !== 'http:') refuse('it is neither https nor http');
    if (url.username !== '' || url.password !== '') refuse('the address carries a user name or password');
    if (isIP(host) !== 0 && isMetadataAddress(host)) refuse('it is a link-local or metadata address');
    if (origins.length > 0 && !pinned) refuse('it is not among the origins given with --allow-storage');
    if (!pinned && own && !serverIsLocal) {
      refuse("it is this machine's own address, and the server is elsewhere; --allow-storage can allow it");
    }
    if (!pinned && url.protocol === 'http:' && !own) {
      refuse('it is not encrypted (https); --allow-storage can allow it');
    }
    const framing = Object.keys(headers).find((name) => framingHeaders.test(name));
    if (framing !== undefined) refuse(`the header ${framing} is not one that a part may carry`);
  }

  /** A DNS look-up for requests that passed `check`: a name must not lead to an address that is refused as such. */
  readonly lookup: LookupFunction = (hostname, options, callback) => {
    const resolve: Resolve = this.#options.resolve ?? systemLookup;
    resolve(hostname, { ...options, all: true }, (error, addresses) => {
      if (error) return callback(error, []);
      const own = this.#ownAddresses();
      for (const { address } of addresses) {
        const strayed =
          isOwnAddress(address, own) && !isLoopbackHost(hostname) && !this.#mayBeLocal(hostname);
        if (isMetadataAddress(address) || strayed) {
          const message = `The agent does not upload to ${hostname}: the name leads to an address inside this machine or its cloud.`;
          return callback(new BackhaulError('storage_not_allowed', message), []);
        }
      }
      const [first] = addresses;
      if (options.all === true) return callback(null, addresses);
      return callback(null, first?.address ?? '', first?.family ?? 4);
    });
  };

  #ownAddresses(): readonly string[] {
    return (this.#options.ownAddresses ?? interfaceAddresses)();
  }

  #mayBeLocal(hostname: string): boolean {
    return (
      this.#options.serverIsLocal ||
      this.#options.origins.some((origin) => bareHost(new URL(origin).hostname) === bareHost(hostname))
    );
  }
}
