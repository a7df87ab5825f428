import { resolve } from 'node:path';
import { isatty } from 'node:tty';
import {
  isJournal,
  type LogFormat,
  proxyFor,
  ProxyVariableError,
  type ProxyVariables,
} from '@backhaul/program';
import type { JwtSource } from '../auth/token-keys.ts';
import { type S3Settings, storeUrl } from '../s3/s3-settings.ts';
import { readCommandLine } from './command-line.ts';
import { ConfigError, type SettingProblem } from './config-error.ts';
import type { Config, DevConfig, TlsFiles } from './config.ts';
import {
  missing,
  proxyVariables,
  readablePath,
  readConfigFile,
  type ReadSettings,
  readSettings,
} from './read-settings.ts';
import { s3Preferences, s3Settings } from './s3-config.ts';
import { isSettingName, type SettingValues } from './settings.ts';
import { devJwtSecret, jwtSource, tokenRules } from './token-config.ts';

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Flags win over the environment, the environment over `--config FILE`, and that over the defaults.
 *
 * @param options.argv Without the program's name.
 * @param options.cwd What relative paths start from.
 * @returns deeply frozen; holds secrets, so never log it whole.
 * @throws ConfigError with all that has to change.
 */
export function loadConfig({
  argv,
  env = process.env,
  cwd,
}: {
  argv: readonly string[];
  env?: Environment;
  cwd: string;
}): Config | DevConfig {
  const commandLine = readCommandLine(argv);
  const problems: SettingProblem[] = [...commandLine.problems];
  const file = commandLine.configFile === undefined ? undefined : readConfigFile(commandLine.configFile, cwd);
  problems.push(...(file?.problems ?? []));

  const settings = readSettings(
    [
      { label: (name) => `from --${name.toLowerCase()}`, get: (name) => commandLine.settings.get(name) },
      { label: () => null, get: (name) => (name.endsWith('_PROXY') && env[name.toLowerCase()]) || env[name] },
      { label: () => `in ${commandLine.configFile}`, get: (name) => file?.settings.get(name) },
    ],
    problems,
  );
  const context = { cwd, setupBucket: commandLine.setupBucket, problems };
  const config = commandLine.dev
    ? devConfig(settings, {
        ...context,
        env,
        hasHostFlag: commandLine.settings.has('HOST'),
      })
    : completeConfig(settings, context);
  if (config === null || problems.length > 0) throw new ConfigError(problems);
  return deepFreeze(config);
}

interface LoadContext {
  /** Where relative paths start. */
  readonly cwd: string;
  readonly setupBucket: boolean;
  readonly problems: SettingProblem[];
}

function completeConfig(settings: ReadSettings, context: LoadContext): Config | null {
  const s3 = s3Settings(settings, context.problems);
  const jwt = jwtSource(settings, context.cwd, context.problems);
  const rules = tokenRules(settings, context.problems);
  const common = commonConfig(settings, context, { host: '0.0.0.0', dev: false });
  checkProxies({ s3, jwt }, common.proxies, context.problems);
  if (jwt === null) return null;
  return { kind: 'complete', ...common, s3, jwt, ...(rules !== undefined && { tokenRules: rules }) };
}

function devConfig(
  settings: ReadSettings,
  context: LoadContext & { env: Environment; hasHostFlag: boolean },
): DevConfig {
  const common = commonConfig(settings, context, { host: '127.0.0.1', dev: true });
  // Credentials for AWS are often around; they alone don't mean that a developer wants to use them.
  const ownStore = settings.isSet('S3_ENDPOINT') || settings.isSet('S3_BUCKET_NAME');
  const s3 = ownStore ? s3Settings(settings, context.problems) : null;
  if (s3 !== null) checkProxies({ s3, jwt: null }, common.proxies, context.problems);
  return {
    kind: 'dev',
    ...common,
    // Its tokens are in a file, and shells and containers often have a HOST that means something else.
    host: context.hasHostFlag ? common.host : '127.0.0.1',
    ignoredHost: context.hasHostFlag ? null : (settings.values.HOST ?? null),
    s3,
    s3Preferences: s3Preferences(settings, true),
    jwtSecret: devJwtSecret(settings, context.problems),
    childEnvironment: Object.fromEntries(
      Object.entries(context.env).flatMap(([name, value]) =>
        value === undefined || isSettingName(name) ? [] : [[name, value] as const],
      ),
    ),
  };
}

function commonConfig(
  settings: ReadSettings,
  { cwd, setupBucket, problems }: LoadContext,
  { host, dev }: { host: string; dev: boolean },
) {
  const { values } = settings;
  return {
    setupBucket,
    host: values.HOST ?? host,
    port: values.PORT,
    tls: tlsFiles(settings, cwd, problems),
    databasePath: databasePath(settings, { cwd, dev }),
    maxFileSize: values.MAX_FILE_SIZE,
    uploadLimits: {
      ...(values.UPLOAD_PARALLEL_PARTS === undefined ? {} : { parallel_parts: values.UPLOAD_PARALLEL_PARTS }),
      ...(values.UPLOAD_MAX_RATE === undefined ? {} : { max_rate: values.UPLOAD_MAX_RATE }),
    },
    retentionDays: values.RETENTION_DAYS,
    auditRetentionDays: values.AUDIT_RETENTION_DAYS,
    auditMaxRows: values.AUDIT_MAX_ROWS,
    retentionTrustsClock: values.RETENTION_TRUST_CLOCK,
    orphanAgeSeconds: values.ORPHAN_AGE_SECONDS,
    limits: {
      connections: values.MAX_CONNECTIONS ?? null,
      unauthenticated: values.MAX_UNAUTHENTICATED_CONNECTIONS ?? null,
      unauthenticatedPerAddress: values.MAX_UNAUTHENTICATED_PER_ADDRESS ?? null,
      heldRequests: values.MAX_HELD_REQUESTS,
      heldRequestsPerToken: values.MAX_HELD_REQUESTS_PER_TOKEN,
      unfinishedPerToken: values.MAX_UNFINISHED_PER_TOKEN,
      unfinishedPerClient: values.MAX_UNFINISHED_PER_CLIENT,
      agentFrames: {
        bytesPerSecond: values.AGENT_BYTES_PER_SECOND,
        cpuMsPerSecond: values.AGENT_CPU_MS_PER_SECOND,
        refusalsPerMinute: values.AGENT_REFUSALS_PER_MINUTE,
      },
    },
    proxies: proxyVariables(values),
    trustedProxies: values.TRUSTED_PROXIES ?? [],
    proxyWaitSeconds: values.PROXY_WAIT_SECONDS,
    legacyReadScope: values.LEGACY_READ_SCOPE === 'grace',
    renewsTokens: values.TOKEN_RENEWAL === 'on',
    logLevel: values.LOG_LEVEL,
    logFormat: values.LOG_FORMAT,
  };
}

/**
 * Reports an invalid proxy variable only if a request would use it, because machines set these variables for all
 * programs.
 */
function checkProxies(
  { s3, jwt }: { s3: S3Settings; jwt: JwtSource | null },
  proxies: ProxyVariables,
  problems: SettingProblem[],
): void {
  for (const url of [storeUrl(s3), ...(jwt?.kind === 'jwks' ? [new URL(jwt.url)] : [])]) {
    try {
      proxyFor(url, proxies);
    } catch (error) {
      if (!(error instanceof ProxyVariableError)) throw error;
      const { variable, message } = error;
      if (problems.some(({ setting }) => setting === variable)) continue;
      problems.push({ setting: variable, message });
    }
  }
}

/** @returns Null for plain HTTP, or if a problem was added. */
function tlsFiles(settings: ReadSettings, cwd: string, problems: SettingProblem[]): TlsFiles | null {
  const { isSet } = settings;
  const isConfigured = isSet('TLS_CERT_FILE') || isSet('TLS_KEY_FILE') || isSet('TLS_CLIENT_CA_FILE');
  if (!isConfigured) return null;
  for (const name of ['TLS_CERT_FILE', 'TLS_KEY_FILE'] as const) {
    if (!isSet(name)) problems.push(missing(name));
  }
  const context = { cwd, problems };
  const certFile = readablePath(settings, 'TLS_CERT_FILE', context);
  const keyFile = readablePath(settings, 'TLS_KEY_FILE', context);
  const clientCaFile = readablePath(settings, 'TLS_CLIENT_CA_FILE', context);
  return certFile === null || keyFile === null
    ? null
    : { certFile, keyFile, clientCaFile, clientMatch: settings.values.TLS_CLIENT_MATCH };
}

/** @returns The absolute path of the SQLite database. */
export function databasePath({ values }: ReadSettings, { cwd, dev }: { cwd: string; dev: boolean }): string {
  const fallback = dev ? '.backhaul/backhaul.sqlite' : 'backhaul.sqlite';
  return resolve(cwd, values.DATABASE_URL ?? fallback);
}

/** Freezes a tree of plain objects. */
export function deepFreeze<T extends object>(value: T): T {
  for (const inner of Object.values(value)) {
    if (typeof inner === 'object' && inner !== null) deepFreeze(inner);
  }
  return Object.freeze(value);
}

/** How a log is written to a descriptor. */
export function logStyle(
  logFormat: SettingValues['LOG_FORMAT'],
  fileDescriptor: 1 | 2,
): { readonly format: LogFormat; readonly toJournal: boolean } {
  const format = logFormat !== 'auto' ? logFormat : isatty(fileDescriptor) ? 'human' : 'json';
  return { format, toJournal: isJournal(fileDescriptor, process.env['JOURNAL_STREAM']) };
}
