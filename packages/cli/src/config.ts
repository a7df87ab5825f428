import { createHmac } from 'node:crypto';
import path from 'node:path';
import { sendsInTheClear, toBaseUrl } from '@backhaul/client';
import { type ProxyVariables, readProxyVariables } from '@backhaul/program';
import { BackhaulError, isLoopbackHost } from '@backhaul/protocol';
import { DEV_FILE, type DevFile, DevFileError, readDevFile } from '@backhaul/protocol/dev-file';
import { UsageError } from './errors.ts';
import { Network } from './network.ts';

/** All environment variables that the command line reads. */
export interface Environment {
  readonly BACKHAUL_URL?: string | undefined;
  readonly BACKHAUL_TOKEN?: string | undefined;
  /** Signing secret; read only by `backhaul token`. */
  readonly JWT_SECRET?: string | undefined;
  /** Any non-empty value disables colour (no-color.org). */
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
  /** The flag, variable or file that the value came from. */
  readonly source: string;
}

export function readEnvironment(): Environment {
  return process.env;
}

/** Whether the user allows colour; the output must also be a terminal. */
export function wantsColor({ NO_COLOR, TERM }: Environment): boolean {
  return (NO_COLOR ?? '') === '' && TERM !== 'dumb';
}

/** Settings from flags, else the environment, else `.backhaul/dev.json`. Each is resolved on first use. */
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

  /** Whether the terminal can move its cursor, which the progress bar requires. */
  get redraw(): boolean {
    return this.#env.TERM !== 'dumb';
  }

  get devFilePath(): string {
    return path.join(this.#cwd, DEV_FILE);
  }

  /** The file written by `backhaul-server --dev` in this directory; null if there is none. */
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

  /** @throws UsageError if the server URL is missing or invalid, or would send the token unencrypted. */
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
        `${setting.source}: ${base.origin} is another machine, and without TLS anyone on the network path can read the token.`,
        'Use an https:// address, or accept the risk with --insecure.',
      );
    }
    return setting;
  }

  /**
   * @throws BackhaulError `unauthorized` if there is no token; UsageError if the token would be sent to an address that
   *   someone else may have chosen.
   */
  get token(): Setting {
    const { token } = this.#flags;
    if (isSet(token)) return this.#forServer({ value: token, source: '--token' });
    const { BACKHAUL_TOKEN } = this.#env;
    if (isSet(BACKHAUL_TOKEN)) {
      return this.#forServer({ value: BACKHAUL_TOKEN.trim(), source: 'BACKHAUL_TOKEN' });
    }
    const { devFile } = this;
    // The development token is sent only to the development server, not to any other server that --url names.
    if (devFile !== null && sameServer(this.url.value, devFile.server_url)) {
      return { value: devFile.operator_token, source: DEV_FILE };
    }
    throw new BackhaulError('unauthorized', 'No token: set BACKHAUL_TOKEN or --token.');
  }

  /** @throws UsageError if there is no secret. */
  get jwtSecret(): Setting {
    const { JWT_SECRET } = this.#env;
    if (isSet(JWT_SECRET)) return { value: JWT_SECRET, source: 'JWT_SECRET' };
    if (this.devFile !== null) return { value: this.devFile.jwt_secret, source: DEV_FILE };
    throw new UsageError(
      'No signing secret: JWT_SECRET is not set.',
      `Set JWT_SECRET to the server's secret, or run this in the directory of a "backhaul-server --dev" (${DEV_FILE}).`,
    );
  }

  /** Prevents sending the user's token to an address that comes from a file in the working directory. */
  #forServer(token: Setting): Setting {
    const { url } = this;
    // Read only if the URL came from it: an untrusted file must not stop an operator who named the server.
    if (url.source !== DEV_FILE) return token;
    const { devFile } = this;
    if (devFile === null || isOfDevServer(token.value, devFile)) return token;
    throw new UsageError(
      `${token.source} is not a token of the server in ${DEV_FILE} (${url.value}), so it is not sent there.`,
      `Set BACKHAUL_URL or --url to the server of the token, or leave out ${token.source} to use the token in that file.`,
    );
  }

  #urlSetting(): Setting {
    const { url } = this.#flags;
    if (isSet(url)) return { value: url, source: '--url' };
    const { BACKHAUL_URL } = this.#env;
    if (isSet(BACKHAUL_URL)) return { value: BACKHAUL_URL, source: 'BACKHAUL_URL' };
    if (this.devFile !== null) return { value: this.devFile.server_url, source: DEV_FILE };
    throw new UsageError(
      'No server URL.',
      `Set BACKHAUL_URL or --url, or run this in the directory of a "backhaul-server --dev" (${DEV_FILE}).`,
    );
  }
}

function isSet(value: string | undefined): value is string {
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

/** Whether the token is the file's own, or signed with the secret in it: then the file's author already has it. */
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
