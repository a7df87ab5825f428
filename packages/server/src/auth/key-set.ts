import { noProxies, type ProxyVariables } from '@backhaul/program';
import type { Finding } from '@backhaul/protocol';
import { createLocalJWKSet, errors, type JSONWebKeySet, type JWTVerifyGetKey } from 'jose';
import type { Log } from '../domain/ports/log.ts';
import { requestWhole } from '../request-whole.ts';

/**
 * An older set is fetched again before it is used to verify a token; keys that the provider has withdrawn are
 * accepted for that long.
 */
const FRESH_MS = 600_000;
/**
 * Minimum interval between two requests for an unknown key: tokens with invented key ids must not turn into requests.
 */
const UNKNOWN_KEY_MS = 30_000;
/** Interval between two requests after a failed one. */
const RETRY_MS = 10_000;
const REQUEST_MS = 5_000;

/** Tokens cannot be verified now, because the key set is unreachable. */
export class KeySetUnavailable extends Error {
  override readonly name = 'KeySetUnavailable';
}

export interface KeySetOptions {
  /** How long the last set is used while no newer one can be fetched; milliseconds. */
  readonly maxAgeMs: number;
  readonly log: Pick<Log, 'info' | 'warn'>;
  /** Monotonic, milliseconds. */
  readonly now?: () => number;
  readonly timeoutMs?: number;
  readonly proxies?: ProxyVariables;
}

/**
 * Keys of an identity provider, fetched when the first token needs one, and retained during an outage of the
 * provider: an unreachable provider signs nothing new, and the tokens it has signed stay valid. The time is limited,
 * because keys withdrawn meanwhile go unnoticed.
 */
export class KeySet {
  readonly #url: string;
  readonly #options: Required<KeySetOptions>;
  #keys: { readonly find: ReturnType<typeof createLocalJWKSet>; readonly fetchedAt: number } | undefined;
  #fetching: Promise<void> | undefined;
  #triedAt = Number.NEGATIVE_INFINITY;
  /** Set if the last try failed. */
  #failure: { readonly since: number; readonly error: unknown } | undefined;

  constructor(url: string, options: KeySetOptions) {
    this.#url = url;
    this.#options = {
      now: () => performance.now(),
      timeoutMs: REQUEST_MS,
      proxies: noProxies,
      ...options,
    };
  }

  /** @throws KeySetUnavailable; jose's errors about the token */
  readonly keyOf: JWTVerifyGetKey = async (header, token) => {
    const keys = await this.#fetched();
    try {
      return await keys.find(header, token);
    } catch (error) {
      if (!(error instanceof errors.JWKSNoMatchingKey)) throw error;
      await this.#fetch(UNKNOWN_KEY_MS);
      // A key created since the outage started.
      if (this.#failure !== undefined) throw this.#unavailable();
      return await (await this.#fetched()).find(header, token);
    }
  };

  /** For readiness. @returns a warning although tokens can be verified; null without one. @throws KeySetUnavailable */
  async check(): Promise<string | null> {
    if (this.#usable() === undefined) await this.#fetched();
    return this.#failure === undefined ? null : this.#cachedSince();
  }

  /** For `backhaul doctor`. */
  findings(): Finding[] {
    if (this.#failure === undefined) return [];
    const isUsable = this.#usable() !== undefined;
    return [
      {
        name: 'key_set',
        level: isUsable ? 'warning' : 'error',
        detail: isUsable ? this.#cachedSince() : this.#unavailable().message,
        fix: 'Check that JWT_JWKS_URL can be reached from the server’s machine, and whether a proxy is needed.',
      },
    ];
  }

  #usable() {
    const keys = this.#keys;
    return keys !== undefined && this.#ageOf(keys) <= this.#options.maxAgeMs ? keys : undefined;
  }

  #ageOf({ fetchedAt }: { fetchedAt: number }): number {
    return this.#options.now() - fetchedAt;
  }

  /** The last set is used only if no newer one is available: the provider may have withdrawn one of its keys. */
  async #fetched() {
    const last = this.#usable();
    if (last === undefined || this.#ageOf(last) > FRESH_MS) await this.#fetch(RETRY_MS);
    const keys = this.#usable();
    if (keys === undefined) throw this.#unavailable();
    return keys;
  }

  /** Never rejects. @param pauseMs Minimum time since the last try; sooner calls send no request. */
  #fetch(pauseMs: number): Promise<void> {
    if (this.#fetching !== undefined) return this.#fetching;
    if (this.#options.now() - this.#triedAt < pauseMs) return Promise.resolve();
    this.#triedAt = this.#options.now();
    this.#fetching = this.#request().finally(() => (this.#fetching = undefined));
    return this.#fetching;
  }

  async #request(): Promise<void> {
    const { timeoutMs, proxies, log, now } = this.#options;
    try {
      const response = await requestWhole(this.#url, {
        method: 'GET',
        headers: { accept: 'application/jwk-set+json, application/json' },
        signal: AbortSignal.timeout(timeoutMs),
        proxies,
      });
      if (response.status !== 200) throw new Error(`the provider responded with HTTP ${response.status}`);
      // createLocalJWKSet rejects content that is not a key set.
      const find = createLocalJWKSet((await response.json()) as JSONWebKeySet);
      this.#keys = { find, fetchedAt: now() };
      if (this.#failure !== undefined) log.info({}, 'the key set at JWT_JWKS_URL can be fetched again');
      this.#failure = undefined;
    } catch (error) {
      const isNew = this.#failure === undefined;
      this.#failure = { since: this.#failure?.since ?? Date.now(), error };
      if (!isNew) return;
      const detail =
        this.#usable() === undefined ? 'Tokens cannot be verified until it can.' : this.#cachedSince();
      log.warn({ detail, err: error }, 'the key set at JWT_JWKS_URL cannot be fetched');
    }
  }

  #unavailable(): KeySetUnavailable {
    const { error } = this.#failure ?? {};
    return new KeySetUnavailable('The key set at JWT_JWKS_URL cannot be fetched.', { cause: error });
  }

  #cachedSince(): string {
    const since = new Date(this.#failure?.since ?? Date.now()).toISOString();
    const seconds = Math.round((this.#keys === undefined ? 0 : this.#ageOf(this.#keys)) / 1000);
    return `The key set at JWT_JWKS_URL has been unreachable since ${since}; the copy from ${seconds} s ago is used until it is ${this.#options.maxAgeMs / 1000} s old.`;
  }
}
