import { readFileSync } from 'node:fs';
import path from 'node:path';
import { toBaseUrl } from '@backhaul/client';
import { BackhaulError, DEV_FILE, describeIssues, type DevFile, devFileSchema } from '@backhaul/protocol';
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
}

export interface GlobalFlags {
  readonly url?: string | undefined;
  readonly token?: string | undefined;
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
    this.#devFile ??= readDevFile(this.devFilePath);
    return this.#devFile;
  }

  /** @throws UsageError if there is no server URL, or it is none. */
  get url(): Setting {
    const setting = this.#urlSetting();
    try {
      toBaseUrl(setting.value);
    } catch (cause) {
      const problem = cause instanceof Error ? cause.message : 'it is not a URL';
      throw new UsageError(`${setting.source}: ${problem}.`, null, { cause });
    }
    return setting;
  }

  /** @throws BackhaulError `unauthorized` if there is no token. */
  get token(): Setting {
    const { token } = this.#flags;
    if (given(token)) return { value: token, source: '--token' };
    const { BACKHAUL_TOKEN } = this.#env;
    if (given(BACKHAUL_TOKEN)) return { value: BACKHAUL_TOKEN.trim(), source: 'BACKHAUL_TOKEN' };
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

function readDevFile(file: string): DevFile | null {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? String(cause.code) : '';
    if (code === 'ENOENT' || code === 'ENOTDIR') return null;
    throw new UsageError(`${file} cannot be read (${code}).`, 'Set BACKHAUL_URL and BACKHAUL_TOKEN.', {
      cause,
    });
  }
  const fix = 'Start "backhaul-server --dev" anew, or remove the file.';
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    // The parser's message would repeat the file's text, and with it secrets.
    throw new UsageError(`${file} is not JSON.`, fix);
  }
  const parsed = devFileSchema.safeParse(json);
  if (parsed.success) return parsed.data;
  throw new UsageError(`${file} is not what the server writes: ${describeIssues(parsed.error)}.`, fix);
}

const loopbackNames: ReadonlySet<string> = new Set(['localhost', '127.0.0.1', '[::1]']);

function sameServer(one: string, other: string): boolean {
  const [a, b] = [toBaseUrl(one), toBaseUrl(other)];
  if (a.protocol !== b.protocol || a.port !== b.port) return false;
  return a.hostname === b.hostname || (isLoopback(a) && isLoopback(b));
}

export function isLoopback({ hostname }: URL): boolean {
  return loopbackNames.has(hostname);
}
