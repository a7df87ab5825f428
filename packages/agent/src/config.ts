import { resolve } from 'node:path';
import {
  isJournal,
  type LogFormat,
  logFormats,
  proxyFor,
  type ProxyInUse,
  ProxyVariableError,
  type ProxyVariables,
  readProxyVariables,
} from '@backhaul/program';
import { clientIdSchema, filePathSchema, isLoopbackHost } from '@backhaul/protocol';
import { DEV_FILE } from '@backhaul/protocol/dev-file';
import type { ClientCertificateFiles } from './credentials/client-certificate.ts';
import { DevServerNotRunning, readOwnDevFile } from './credentials/dev-token.ts';
import { isToken, type TokenSetting } from './credentials/token-source.ts';
import {
  parseFlags,
  readChoice,
  readInteger,
  readLabels,
  readOrigin,
  readPath,
  readRate,
  UsageError,
} from './flags.ts';
import { HELP } from './help.ts';
import { type LogLevel, logLevels } from './log.ts';
import { currentPlatform } from './platform/current-platform.ts';
import { AGENT_VERSION } from './version.ts';

export interface AgentConfig {
  readonly clientId: string;
  /** ws: or wss:, without `/ws/connect`. */
  readonly serverUrl: URL;
  readonly token: TokenSetting;
  /** Absolute paths; the first is uploaded if a trigger names no file. */
  readonly files: readonly string[];
  /** Absolute paths. */
  readonly allow: readonly string[];
  /** Whether to read hard links that accounts other than the file's owner may have created. */
  readonly allowHardLinks: boolean;
  /** Absolute path of the directory for a renewed token; null: the token is not renewed. */
  readonly stateDirectory: string | null;
  /** Directory in which systemd stores the unit's secrets. */
  readonly credentialsDirectory: string | null;
  /** Absolute paths of CA certificates to trust in addition to those of the system. */
  readonly caFiles: readonly string[];
  /** For a server that requires a client certificate; absolute paths. */
  readonly clientCertificate: ClientCertificateFiles | null;
  readonly storageOrigins: readonly string[];
  readonly maxUploads: number;
  readonly parallelParts: number;
  /** Upload limit in bytes per second at a given time of this machine's clock; null for no limit. */
  readonly maxRate: ((at: Date) => number | null) | null;
  /** Bytes. */
  readonly maxFileSize: number | null;
  readonly sha256: boolean;
  readonly labels: Readonly<Record<string, string>>;
  readonly logLevel: LogLevel;
  readonly logFormat: LogFormat;
  /** Whether standard error is connected to systemd's journal. */
  readonly logToJournal: boolean;
  readonly proxies: ProxyVariables;
  /** Size of libuv's thread pool (UV_THREADPOOL_SIZE), which file calls and name resolution share. */
  readonly poolThreads: number;
}

export type Invocation =
  | { readonly kind: 'run'; readonly config: AgentConfig }
  | { readonly kind: 'print'; readonly text: string };

export interface Env {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  /** Whether standard error is a terminal. */
  readonly terminal: boolean;
  /** Whether standard error is connected to systemd's journal. Default: false. */
  readonly journal?: boolean;
  readonly os: NodeJS.Platform;
}

/** `health_check` reports at most 1,000 allowed paths. */
const MAX_ALLOWED = 1000;

/** Whether standard error is connected to systemd's journal. */
export function writesToJournal(): boolean {
  return isJournal(2, process.env['JOURNAL_STREAM']);
}

/** @throws UsageError */
export function readOwnConfig(): Invocation {
  return readConfig(process.argv.slice(2), {
    env: process.env,
    cwd: process.cwd(),
    terminal: process.stderr.isTTY,
    journal: writesToJournal(),
    os: process.platform,
  });
}

/** Reads flags and environment. No other module reads the environment. @throws UsageError */
export function readConfig(
  argv: readonly string[],
  { env, cwd, terminal, journal = false, os }: Env,
): Invocation {
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
  requirePrivateRoots(flags['roots-are-private'] ?? false, os);
  const allow = (flags.allow ?? []).map((path) => readPath('--allow', path, cwd));
  const files = (flags.file ?? []).map((path) => readFilePath(path, cwd));
  if (allow.length + files.length > MAX_ALLOWED) {
    throw new UsageError(`--allow and --file: at most ${MAX_ALLOWED} paths in total.`);
  }
  const config: AgentConfig = {
    clientId,
    serverUrl,
    token,
    files,
    allow,
    allowHardLinks: readHardLinks(flags['allow-hard-links'] ?? false, os),
    // A dev server's token is signed for each connection.
    stateDirectory:
      token.kind === 'dev_file'
        ? null
        : readStateDirectory(flags['state-directory'], env['STATE_DIRECTORY'], cwd),
    credentialsDirectory: env['CREDENTIALS_DIRECTORY'] || null,
    caFiles: (flags['ca-file'] ?? []).map((path) => readPath('--ca-file', path, cwd)),
    clientCertificate: readClientCertificate(flags['client-cert'], flags['client-key'], cwd),
    storageOrigins: (flags['allow-storage'] ?? []).map(readOrigin),
    maxUploads: readInteger('--max-uploads', flags['max-uploads'], { min: 1, max: 64 }) ?? 2,
    parallelParts: readInteger('--parallel-parts', flags['parallel-parts'], { min: 1, max: 64 }) ?? 8,
    maxRate: readRate(flags['max-rate']),
    maxFileSize: readInteger('--max-file-size', flags['max-file-size'], { min: 0 }),
    sha256: flags['no-sha256'] !== true,
    labels: readLabels(flags.label ?? []),
    logLevel: readChoice('--log-level', flags['log-level'], logLevels) ?? 'info',
    logFormat: readChoice('--log-format', flags['log-format'], logFormats) ?? (terminal ? 'human' : 'json'),
    logToJournal: journal,
    proxies: readProxies(serverUrl, env),
    poolThreads: readInteger('UV_THREADPOOL_SIZE', env['UV_THREADPOOL_SIZE'], threadLimits) ?? 4,
  };
  return { kind: 'run', config };
}

/** With fewer, a dead mount could block all threads, also for other files and name resolution. libuv allows at most 1024. */
const threadLimits = { min: 8, max: 1024 };

function readClientId(text: string | undefined): string {
  if (text === undefined) throw new UsageError('--client-id is required: choose a name for this machine.');
  const parsed = clientIdSchema.safeParse(text);
  if (!parsed.success)
    throw new UsageError(`--client-id: ${parsed.error.issues[0]?.message ?? 'invalid value'}.`);
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
    throw new UsageError('--token and --token-file cannot be combined: use one of them.');
  }
  const needUrl = (): URL => {
    if (url === undefined) throw new UsageError('--server-url is required, e.g. wss://backhaul.example.com.');
    return readServerUrl(url);
  };
  if (tokenFile !== undefined) {
    return { serverUrl: needUrl(), token: { kind: 'file', path: readPath('--token-file', tokenFile, cwd) } };
  }
  const given = token ?? envToken;
  if (given !== undefined) {
    const source = token === undefined ? 'BACKHAUL_TOKEN' : '--token';
    if (!isToken(given)) throw new UsageError(`${source} is not a valid token.`);
    return { serverUrl: needUrl(), token: { kind: 'given', token: given } };
  }
  return readDevServer(url, cwd);
}

function readDevServer(url: string | undefined, cwd: string): { serverUrl: URL; token: TokenSetting } {
  const path = resolve(cwd, DEV_FILE);
  const own = readServerUrl(devServerUrl(path));
  const serverUrl = url === undefined ? own : readServerUrl(url);
  if (serverUrl.port !== own.port || !isLoopbackHost(serverUrl.hostname)) {
    throw new UsageError(
      `--server-url ${serverUrl.origin} is not the server of ${path} (${own.origin}): use --token-file to connect to another server.`,
    );
  }
  return { serverUrl, token: { kind: 'dev_file', path } };
}

function devServerUrl(path: string): string {
  try {
    return readOwnDevFile(path).server_url;
  } catch (error) {
    if (error instanceof DevServerNotRunning) {
      const start = `start the agent in the directory where backhaul-server --dev runs (${path} does not exist)`;
      throw new UsageError(`No token: use --token-file, --token or BACKHAUL_TOKEN, or ${start}.`);
    }
    throw new UsageError(`${error instanceof Error ? error.message : String(error)}.`, { cause: error });
  }
}

function readServerUrl(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : null;
  // The server reports its own address with http or https.
  if (url?.protocol === 'http:') return readServerUrl(text.replace(/^http/i, 'ws'));
  if (url?.protocol === 'https:') return readServerUrl(text.replace(/^http/i, 'ws'));
  if (url === null || (url.protocol !== 'ws:' && url.protocol !== 'wss:')) {
    throw new UsageError('--server-url must be an address such as wss://backhaul.example.com.');
  }
  if (url.username !== '' || url.password !== '' || url.search !== '' || url.hash !== '') {
    throw new UsageError(
      '--server-url must not contain a user name, password, query or fragment; pass the token with --token-file.',
    );
  }
  return url;
}

function requireEncryption(url: URL, insecure: boolean): void {
  if (url.protocol === 'wss:' || isLoopbackHost(url.hostname) || insecure) return;
  throw new UsageError(
    `--server-url ${url.origin}: ws:// to another machine sends the token unencrypted. Use wss://, or allow ws:// with --insecure.`,
  );
}

/** systemd lists all directories of a unit's `StateDirectory=`, separated by colons. */
function readStateDirectory(flag: string | undefined, variable = '', cwd: string): string | null {
  if (flag !== undefined) return readPath('--state-directory', flag, cwd);
  const [directory = ''] = variable.split(':', 1);
  return directory === '' ? null : resolve(cwd, directory);
}

function readClientCertificate(
  cert: string | undefined,
  key: string | undefined,
  cwd: string,
): ClientCertificateFiles | null {
  if (cert === undefined && key === undefined) return null;
  if (cert === undefined) throw new UsageError('--client-key requires --client-cert.');
  if (key === undefined) throw new UsageError('--client-cert requires --client-key.');
  return {
    certFile: readPath('--client-cert', cert, cwd),
    keyFile: readPath('--client-key', key, cwd),
  };
}

/** On systems that cannot show where an opened file is, the agent starts only with the owner's confirmation. */
function requirePrivateRoots(given: boolean, os: NodeJS.Platform): void {
  const { needsPrivateRoots } = currentPlatform(os);
  if (given && !needsPrivateRoots) {
    throw new UsageError(
      '--roots-are-private: remove this flag. On this system the agent proves for each file that it is covered by --allow or --file.',
    );
  }
  if (needsPrivateRoots && !given) {
    throw new UsageError(
      'On this system the agent cannot prove that an opened file is covered by --allow or --file: an account that can write there could make it read other files. If only you and accounts that you trust can write there, confirm it with --roots-are-private.',
    );
  }
}

/** `hello` contains this path; the server rejects a `hello` with an invalid one. */
function readFilePath(path: string, cwd: string): string {
  const file = readPath('--file', path, cwd);
  if (filePathSchema.safeParse(file).success) return file;
  throw new UsageError('--file: a path has at most 4096 characters.');
}

function readHardLinks(given: boolean, os: NodeJS.Platform): boolean {
  if (given && !currentPlatform(os).hasOwners) {
    throw new UsageError(
      '--allow-hard-links: remove this flag. On this system the agent cannot determine the owner of a linked file, and always reads hard links.',
    );
  }
  return given;
}

function readProxies(serverUrl: URL, env: Env['env']): ProxyVariables {
  const variables = readProxyVariables(env);
  let proxyOfServer: ProxyInUse | null;
  try {
    proxyOfServer = proxyFor(serverUrl, variables);
    // The address of the store is not known yet.
    proxyFor(new URL('https://store.invalid'), variables);
  } catch (error) {
    if (!(error instanceof ProxyVariableError)) throw error;
    throw new UsageError(error.message, { cause: error });
  }
  if (serverUrl.protocol === 'ws:' && proxyOfServer !== null) {
    throw new UsageError(
      '--server-url: ws:// is not supported through the proxy of HTTP_PROXY. Use wss://, or add the server to NO_PROXY.',
    );
  }
  return variables;
}
