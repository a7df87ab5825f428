import http from 'node:http';
import https from 'node:https';
import { type Fetch, NetworkFault, platformFetch } from '@backhaul/client';
import {
  AuthorityFileError,
  proxyFor,
  type ProxyInUse,
  ProxyVariableError,
  type ProxyVariables,
  trustAuthorities,
} from '@backhaul/program';
import { explainConnectionFault } from '@backhaul/protocol';
import { UsageError } from './errors.ts';

interface NetworkSettings {
  readonly proxies: ProxyVariables;
  /** PEM files of authorities trusted in addition to those of the system. */
  readonly caFiles: readonly string[];
  /** Origin of the server, `http(s)://HOST:PORT`. */
  readonly serverOrigin: () => string;
}

/** Makes all requests of the command line, to the server and to the object store. */
export class Network {
  readonly #settings: NetworkSettings;
  /** Agents by the variable that names the proxy; reused so that connections stay open. */
  readonly #agents = new Map<string, http.Agent>();
  #trusts = false;

  constructor(settings: NetworkSettings) {
    this.#settings = settings;
  }

  /**
   * @throws UsageError if a --ca-file or a proxy cannot be used; TypeError like fetch, with a {@link NetworkFault} among
   *   its causes if more than an error code is known.
   */
  readonly fetch: Fetch = async (url, init) => {
    // Reading the system's authorities takes 30 ms, so it is skipped for plain HTTP.
    if (url.protocol === 'https:') this.#trust();
    const proxy = this.proxyOf(url);
    try {
      return await platformFetch(url, {
        ...init,
        ...(proxy !== null && { agent: this.#agentOf(url, proxy) }),
      });
    } catch (error) {
      throw this.#explained(error, url, proxy);
    }
  };

  /** @throws UsageError if the variable that applies does not contain an address. */
  proxyOf(url: URL): ProxyInUse | null {
    try {
      return proxyFor(url, this.#settings.proxies);
    } catch (cause) {
      if (!(cause instanceof ProxyVariableError)) throw cause;
      throw new UsageError(cause.message, null, { cause });
    }
  }

  #explained(error: unknown, url: URL, proxy: ProxyInUse | null): unknown {
    if (!(error instanceof TypeError) || !(error.cause instanceof Error)) return error;
    const port = url.port || (url.protocol === 'https:' ? '443' : '80');
    const isServer = url.origin === this.#settings.serverOrigin();
    const fault = explainConnectionFault(error.cause, {
      host: `${url.hostname}:${port}`,
      addressSetting: isServer ? '--url or BACKHAUL_URL' : "the server's S3_PUBLIC_ENDPOINT or S3_ENDPOINT",
      authoritySetting: '--ca-file or NODE_EXTRA_CA_CERTS',
      proxy,
    });
    if (fault === null) return error;
    return new TypeError(error.message, { cause: new NetworkFault(fault.sentence, error.cause) });
  }

  #trust(): void {
    if (this.#trusts) return;
    try {
      trustAuthorities(this.#settings.caFiles);
    } catch (cause) {
      if (!(cause instanceof AuthorityFileError)) throw cause;
      throw new UsageError(`--ca-file: ${cause.message}.`, null, { cause });
    }
    this.#trusts = true;
  }

  #agentOf(url: URL, { variable, proxyEnv }: ProxyInUse): http.Agent {
    const known = this.#agents.get(variable);
    if (known !== undefined) return known;
    const { Agent } = url.protocol === 'https:' ? https : http;
    const agent = new Agent({ keepAlive: true, proxyEnv });
    this.#agents.set(variable, agent);
    return agent;
  }
}
