import { createHmac } from 'node:crypto';
import path from 'node:path';
import { type ProxyVariables, readProxyVariables } from '@backhaul/program';
import { sendsInTheClear, toBaseUrl } from '@backhaul/client';
import { BackhaulError, DEV_FILE, type DevFile, isLoopbackHost } from '@backhaul/protocol';
import { DevFileError, readDevFile } from '@backhaul/protocol/dev-file';
import { Network } from './network.ts';
import { UsageError } from './usage-error.ts';

/** The environment variables that the command line reads; it reads no others. */
export interface Environment {
  readonly BACKHAUL_URL?: string | undefined;
  readonly BACKHAUL_TOKEN?: string | undefined;
  /** Signs tokens; only `backhaul token` reads it. */
  readonly JWT_SECRET?: string | undefined;
  /** Set to anything: no colour (no-color.org). */
  readonly NO_COLOR?: string | undefined;
  readonly TERM?: string | undefined;
  readonly HTTPS_PROXY?: string | undefined;
  readonly https_proxy?: string | undefined;
  readonly HTTP_PROXY?: string | undefined;
  readonly http_proxy?: string | undefined;
  readonly NO_PROXY?: string | undefined;
  readonly no_proxy?: string | undefined;
}

export interface GlobalFlags {
  readonly url?: string | undefined;
  readonly token?: string | undefined;
  /** Accepts plain HTTP to another machine. */
  readonly insecure?: boolean | undefined;
  readonly caFile?: readonly string[] | undefined;
}

export interface Setting {
  readonly value: string;
  /** Where it was found, in the user's words. */
  readonly source: string;
}

export function readEnvironment(): Environment {
  return process.env;
}

/** Whether the user wants colour at all; the stream must be a terminal besides. */
export function wantsColor({ NO_COLOR, TERM }: Environment): boolean {
  return (NO_COLOR ?? '') === '' && TERM !== 'dumb';
}

/** A terminal that can move its cursor, as a progress bar needs. */
function canRedraw({ TERM }: Environment): boolean {
  return TERM !== 'dumb';
}

/** Flags before environment before `.backhaul/dev.json`. Looks nothing up before it is asked for. */
export class Config {
  readonly #flags: GlobalFlags;
  readonly #env: Environment;
  readonly #cwd: string;
  #devFile: DevFile | null | undefined;
  #network: Network | undefined;

  constructor(flags: GlobalFlags, env: Environment, cwd: string) {
    this.#flags = flags;
    this.#env = env;
    this.#cwd = cwd;
  }

  get redraw(): boolean {
    return canRedraw(this.#env);
  }

  get devFilePath(): string {
    return path.join(this.#cwd, DEV_FILE);
  }

  /** What `backhaul-server --dev` left in this directory; null if there is none. */
  get devFile(): DevFile | null {
    this.#devFile ??= readOwnDevFile(this.devFilePath);
    return this.#devFile;
  }

  get network(): Network {
    this.#network ??= new Network({
      proxies: this.proxies,
      serverOrigin: () => toBaseUrl(this.url.value).origin,
      caFiles: (this.#flags.caFile ?? []).map((file) => path.resolve(this.#cwd, file)),
    });
    return this.#network;
  }

  get proxies(): ProxyVariables {
    return readProxyVariables({ ...this.#env });
  }

  get insecure(): boolean {
    return this.#flags.insecure === true;
  }

  /** @throws UsageError if there is no server URL, it is none, or it would have the token sent in the clear. */
  get url(): Setting {
    const setting = this.#urlSetting();
    let base: URL;
    try {
      base = toBaseUrl(setting.value);
    } catch (cause) {
      const problem = cause instanceof Error ? cause.message : 'it is not a URL';
      throw new UsageError(`${setting.source}: ${problem}.`, null, { cause });
    }
    if (sendsInTheClear(base) && !this.insecure) {
      throw new UsageError(
        `${setting.source}: ${base.origin} is another machine, and without TLS everybody on the way can read the token.`,
        'Use an https:// address, or accept it with --insecure.',
      );
    }
    return setting;
  }

  /**
   * @throws BackhaulError `unauthorized` if there is no token; UsageError if it would go to an address that somebody
   *   else may have chosen.
   */
  get token(): Setting {
    const { token } = this.#flags;
    if (given(token)) return this.#forServer({ value: token, source: '--token' });
    const { BACKHAUL_TOKEN } = this.#env;
    if (given(BACKHAUL_TOKEN)) {
      return this.#forServer({ value: BACKHAUL_TOKEN.trim(), source: 'BACKHAUL_TOKEN' });
    }
    const { devFile } = this;
    // The development token goes to the development server alone, not to whatever --url names.
    if (devFile !== null && sameServer(this.url.value, devFile.server_url)) {
      return { value: devFile.operator_token, source: DEV_FILE };
    }
    throw new BackhaulError('unauthorized', 'No token is given: set BACKHAUL_TOKEN or --token.');
  }

  /** @throws UsageError if there is none. */
  get jwtSecret(): Setting {
    const { JWT_SECRET } = this.#env;
    if (given(JWT_SECRET)) return { value: JWT_SECRET, source: 'JWT_SECRET' };
    if (this.devFile !== null) return { value: this.devFile.jwt_secret, source: DEV_FILE };
    throw new UsageError(
      'No secret to sign with.',
      `Set JWT_SECRET to the server's, or work in the directory of a "backhaul-server --dev" (${DEV_FILE}).`,
    );
  }

  /** A token for some server does not go to the address that a file in the working directory names. */
  #forServer(token: Setting): Setting {
    const { url } = this;
    // Read only if it names the server: an untrusted file must not stop an operator who named the server.
    if (url.source !== DEV_FILE) return token;
    const { devFile } = this;
    if (devFile === null || isOfDevServer(token.value, devFile)) return token;
    throw new UsageError(
      `${token.source} is not of the server that ${DEV_FILE} names (${url.value}), and is not sent there.`,
      `Name its server with BACKHAUL_URL or --url, or leave ${token.source} out to use the token of that file.`,
    );
  }

  #urlSetting(): Setting {
    const { url } = this.#flags;
    if (given(url)) return { value: url, source: '--url' };
    const { BACKHAUL_URL } = this.#env;
    if (given(BACKHAUL_URL)) return { value: BACKHAUL_URL, source: 'BACKHAUL_URL' };
    if (this.devFile !== null) return { value: this.devFile.server_url, source: DEV_FILE };
    throw new UsageError(
      'No server is given.',
      `Set BACKHAUL_URL or --url, or work in the directory of a "backhaul-server --dev" (${DEV_FILE}).`,
    );
  }
}

function given(value: string | undefined): value is string {
  return value !== undefined && value !== '';
}

function readOwnDevFile(file: string): DevFile | null {
  try {
    return readDevFile(file);
  } catch (cause) {
    if (!(cause instanceof DevFileError)) throw cause;
    throw new UsageError(
      `${cause.message}.`,
      'Restart "backhaul-server --dev" as this user, or set BACKHAUL_URL and BACKHAUL_TOKEN.',
      { cause },
    );
  }
}

/** Whether the file's writer has the token already, or could make it. */
function isOfDevServer(token: string, { operator_token: own, jwt_secret: secret }: DevFile): boolean {
  if (token === own) return true;
  const [header, payload, signature] = token.split('.');
  return createHmac('sha256', secret).update(`${header}.${payload}`).digest('base64url') === signature;
}

function sameServer(one: string, other: string): boolean {
  const [a, b] = [toBaseUrl(one), toBaseUrl(other)];
  if (a.protocol !== b.protocol || a.port !== b.port) return false;
  return a.hostname === b.hostname || (isLoopbackHost(a.hostname) && isLoopbackHost(b.hostname));
}
