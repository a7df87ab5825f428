import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { clientIdSchema, DEV_FILE, labelsSchema } from '@backhaul/protocol';
import { proxyFor } from './connection/proxy.ts';
import { readDevFile } from './credentials/dev-token.ts';
import { isToken, type TokenSetting } from './credentials/token-source.ts';
import { HELP } from './help.ts';
import { type LogFormat, logFormats, type LogLevel, logLevels } from './log.ts';
import { bareHost, isLoopbackHost } from './policy/addresses.ts';
import type { ProxySettings } from './transfer/storage-client.ts';
import { AGENT_VERSION } from './version.ts';

export interface AgentConfig {
  readonly clientId: string;
  /** ws: or wss:, without `/ws/connect`. */
  readonly serverUrl: URL;
  readonly token: TokenSetting;
  /** Absolute. */
  readonly file: string | null;
  /** Absolute. */
  readonly allow: readonly string[];
  readonly storageOrigins: readonly string[];
  readonly maxUploads: number;
  readonly parallelParts: number;
  /** Bytes per second. */
  readonly maxRate: number | null;
  /** Bytes. */
  readonly maxFileSize: number | null;
  readonly sha256: boolean;
  readonly labels: Readonly<Record<string, string>>;
  readonly logLevel: LogLevel;
  readonly logFormat: LogFormat;
  readonly proxy: ProxySettings | null;
}

/** The user's mistake; the message names the flag and what to do. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

export type Invocation =
  | { readonly kind: 'run'; readonly config: AgentConfig }
  | { readonly kind: 'print'; readonly text: string };

export interface Surroundings {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  /** Whether the log goes to a terminal. */
  readonly terminal: boolean;
}

/** The flags, as `parseArgs` takes them. */
export const flagOptions = {
  'client-id': { type: 'string' },
  'server-url': { type: 'string' },
  token: { type: 'string' },
  'token-file': { type: 'string' },
  insecure: { type: 'boolean' },
  label: { type: 'string', multiple: true },
  file: { type: 'string' },
  allow: { type: 'string', multiple: true },
  'max-file-size': { type: 'string' },
  'allow-storage': { type: 'string', multiple: true },
  'max-rate': { type: 'string' },
  'max-uploads': { type: 'string' },
  'parallel-parts': { type: 'string' },
  'no-sha256': { type: 'boolean' },
  'log-level': { type: 'string' },
  'log-format': { type: 'string' },
  version: { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
} as const;

/** `health_check` lists what is allowed, in at most 1,000 lines. */
const MAX_ALLOWED = 999;

/** @throws UsageError */
export function readOwnConfig(): Invocation {
  return readConfig(process.argv.slice(2), {
    env: process.env,
    cwd: process.cwd(),
    terminal: process.stderr.isTTY,
  });
}

/** Reads flags and environment; the only place that does. @throws UsageError */
export function readConfig(argv: readonly string[], { env, cwd, terminal }: Surroundings): Invocation {
  const flags = parseFlags(argv);
  if (flags.help === true) return { kind: 'print', text: HELP };
  if (flags.version === true) return { kind: 'print', text: `${AGENT_VERSION}\n` };

  const clientId = readClientId(flags['client-id']);
  const { serverUrl, token } = readServer({
    url: flags['server-url'] ?? env['BACKHAUL_URL'],
    token: flags.token,
    tokenFile: flags['token-file'],
    envToken: env['BACKHAUL_TOKEN'],
    cwd,
  });
  requireEncryption(serverUrl, flags.insecure ?? false);
  const allow = (flags.allow ?? []).map((path) => readPath('--allow', path, cwd));
  if (allow.length > MAX_ALLOWED) throw new UsageError(`--allow: at most ${MAX_ALLOWED} directories.`);
  const config: AgentConfig = {
    clientId,
    serverUrl,
    token,
    file: flags.file === undefined ? null : readPath('--file', flags.file, cwd),
    allow,
    storageOrigins: (flags['allow-storage'] ?? []).map(readOrigin),
    maxUploads: readInteger('--max-uploads', flags['max-uploads'], { min: 1, max: 64 }) ?? 2,
    parallelParts: readInteger('--parallel-parts', flags['parallel-parts'], { min: 1, max: 64 }) ?? 4,
    maxRate: readInteger('--max-rate', flags['max-rate'], { min: 1024 }),
    maxFileSize: readInteger('--max-file-size', flags['max-file-size'], { min: 0 }),
    sha256: flags['no-sha256'] !== true,
    labels: readLabels(flags.label ?? []),
    logLevel: readChoice('--log-level', flags['log-level'], logLevels) ?? 'info',
    logFormat: readChoice('--log-format', flags['log-format'], logFormats) ?? (terminal ? 'human' : 'json'),
    proxy: readProxy(serverUrl, env),
  };
  return { kind: 'run', config };
}

function parseFlags(argv: readonly string[]) {
  try {
    return parseArgs({ args: [...argv], options: flagOptions, strict: true, allowPositionals: false }).values;
  } catch (error) {
    const [firstLine = ''] = (error instanceof Error ? error.message : String(error)).split('\n');
    throw new UsageError(`${firstLine} See backhaul-agent --help.`, { cause: error });
  }
}

function readClientId(text: string | undefined): string {
  if (text === undefined) throw new UsageError('--client-id is missing: give this machine a name.');
  const parsed = clientIdSchema.safeParse(text);
  if (!parsed.success)
    throw new UsageError(`--client-id: ${parsed.error.issues[0]?.message ?? 'not valid'}.`);
  return parsed.data;
}

interface ServerFlags {
  readonly url: string | undefined;
  readonly token: string | undefined;
  readonly tokenFile: string | undefined;
  readonly envToken: string | undefined;
  readonly cwd: string;
}

function readServer({ url, token, tokenFile, envToken, cwd }: ServerFlags): {
  serverUrl: URL;
  token: TokenSetting;
} {
  if (token !== undefined && tokenFile !== undefined) {
    throw new UsageError('--token and --token-file are both given: leave one out.');
  }
  const needUrl = (): URL => {
    if (url === undefined) throw new UsageError('--server-url is missing, e.g. wss://backhaul.example.com.');
    return readServerUrl(url);
  };
  if (tokenFile !== undefined) {
    return { serverUrl: needUrl(), token: { kind: 'file', path: readPath('--token-file', tokenFile, cwd) } };
  }
  const given = token ?? envToken;
  if (given !== undefined) {
    const source = token === undefined ? 'BACKHAUL_TOKEN' : '--token';
    if (!isToken(given)) throw new UsageError(`${source} is not a token.`);
    return { serverUrl: needUrl(), token: { kind: 'given', token: given } };
  }
  return readDevServer(url, cwd);
}

function readDevServer(url: string | undefined, cwd: string): { serverUrl: URL; token: TokenSetting } {
  const path = resolve(cwd, DEV_FILE);
  let dev: ReturnType<typeof readDevFile>;
  try {
    dev = readDevFile(path);
  } catch (error) {
    throw new UsageError(`${error instanceof Error ? error.message : String(error)}.`, { cause: error });
  }
  if (dev === null) {
    const start = `start the agent in the directory where backhaul-server --dev runs (${path} does not exist)`;
    throw new UsageError(`No token: give --token-file, --token or BACKHAUL_TOKEN, or ${start}.`);
  }
  const own = readServerUrl(dev.server_url);
  const serverUrl = url === undefined ? own : readServerUrl(url);
  if (serverUrl.port !== own.port || !isLoopbackHost(serverUrl.hostname)) {
    throw new UsageError(
      `--server-url ${serverUrl.origin} is not the server of ${path} (${own.origin}): give --token-file for it.`,
    );
  }
  return { serverUrl, token: { kind: 'dev_file', path } };
}

function readServerUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : null;
  // http and https are what the server calls itself.
  if (url?.protocol === 'http:') return readServerUrl(text.replace(/^http/i, 'ws'));
  if (url?.protocol === 'https:') return readServerUrl(text.replace(/^http/i, 'ws'));
  if (url === null || (url.protocol !== 'ws:' && url.protocol !== 'wss:')) {
    throw new UsageError('--server-url must be an address such as wss://backhaul.example.com.');
  }
  if (url.username !== '' || url.password !== '' || url.search !== '' || url.hash !== '') {
    throw new UsageError(
      '--server-url must not carry a user name, password, query or fragment; tokens go into --token-file.',
    );
  }
  return url;
}

function requireEncryption(url: URL, insecure: boolean): void {
  if (url.protocol === 'wss:' || isLoopbackHost(url.hostname) || insecure) return;
  throw new UsageError(
    `--server-url ${url.origin}: ws:// to another machine would send the token in the clear. Use wss://, or accept it with --insecure.`,
  );
}

function readPath(flag: string, path: string, cwd: string): string {
  if (path === '' || path.includes('\0')) throw new UsageError(`${flag} needs a path.`);
  return resolve(cwd, path);
}

function readOrigin(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : null;
  const bare =
    url !== null && url.pathname === '/' && url.search === '' && url.hash === '' && url.username === '';
  if (url === null || !bare || (url.protocol !== 'https:' && url.protocol !== 'http:')) {
    throw new UsageError(
      '--allow-storage must be an origin such as https://my-bucket.s3.eu-central-1.amazonaws.com, without a path.',
    );
  }
  return url.origin;
}

function readInteger(
  flag: string,
  text: string | undefined,
  { min, max = Number.MAX_SAFE_INTEGER }: { min: number; max?: number },
): number | null {
  if (text === undefined) return null;
  const value = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
  if (value >= min && value <= max) return value;
  const range = max === Number.MAX_SAFE_INTEGER ? `${min} or more` : `${min} to ${max}`;
  throw new UsageError(`${flag} must be a whole number, ${range}, without a unit.`);
}

function readLabels(pairs: readonly string[]): Record<string, string> {
  const labels: Record<string, string> = {};
  for (const pair of pairs) {
    const at = pair.indexOf('=');
    if (at < 1) throw new UsageError('--label must be KEY=VALUE, e.g. --label site=berlin.');
    labels[pair.slice(0, at)] = pair.slice(at + 1);
  }
  const parsed = labelsSchema.safeParse(labels);
  if (parsed.success) return parsed.data;
  throw new UsageError(
    '--label: at most 32 labels; a key is 1 to 64 letters, digits and . _ / -, a value at most 256 characters.',
  );
}

function readChoice<const Choice extends string>(
  flag: string,
  text: string | undefined,
  choices: readonly Choice[],
): Choice | null {
  if (text === undefined) return null;
  const choice = choices.find((candidate) => candidate === text);
  if (choice === undefined) throw new UsageError(`${flag} must be one of ${choices.join(', ')}.`);
  return choice;
}

function readProxy(serverUrl: URL, env: Surroundings['env']): ProxySettings | null {
  const read = (name: string) => env[name.toLowerCase()] || env[name] || undefined;
  const httpsProxy = read('HTTPS_PROXY');
  const httpProxy = read('HTTP_PROXY');
  const noProxy = read('NO_PROXY');
  const { protocol, hostname } = serverUrl;
  if (protocol === 'ws:' && !isLoopbackHost(hostname) && proxyFor(bareHost(hostname), httpProxy, noProxy)) {
    throw new UsageError(
      '--server-url: ws:// does not pass through the proxy of HTTP_PROXY. Use wss://, or name the server in NO_PROXY.',
    );
  }
  if (httpsProxy === undefined) return null;
  // One that Node cannot use is ignored by it, and uploads would silently go another way.
  if (!/^https?:\/\//i.test(httpsProxy) || !URL.canParse(httpsProxy)) {
    throw new UsageError(
      'HTTPS_PROXY must be an address with its scheme, such as http://proxy.example.com:3128.',
    );
  }
  return { HTTPS_PROXY: httpsProxy, ...(noProxy === undefined ? {} : { NO_PROXY: noProxy }) };
}
