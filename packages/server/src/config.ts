import { isatty } from 'node:tty';
import { isJournal, type LogFormat } from '@backhaul/program';
import { readCommandLine } from './config/command-line.ts';
import { ConfigError, type SettingProblem } from './config/config-error.ts';
import { readConfigFile } from './config/config-file.ts';
import type { Config, DevConfig } from './config/config-types.ts';
import { databasePath } from './config/database-path.ts';
import { deepFreeze } from './config/deep-freeze.ts';
import { devJwtSecret, jwtSource, tokenRules } from './config/jwt-from-settings.ts';
import { type ReadSettings, readSettings } from './config/read-settings.ts';
import { checkProxies, proxyVariables } from './config/proxies-from-settings.ts';
import { s3Preferences, s3Settings } from './config/s3-from-settings.ts';
import { isSettingName, type SettingValues } from './config/settings.ts';
import { tlsFiles } from './config/tls-from-settings.ts';

export { ConfigError } from './config/config-error.ts';
export type { Config, DevConfig, JwtSource, TlsFiles } from './config/config-types.ts';

type Environment = Readonly<Record<string, string | undefined>>;

/**
 * Flags win over the environment, the environment over `--config FILE`, and that over the defaults.
 *
 * @param place.argv Without the program's name.
 * @param place.cwd What relative paths start from.
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
  const config = commandLine.dev
    ? devConfig(settings, {
        ...{ cwd, env, setupBucket: commandLine.setupBucket, problems },
        hasHostFlag: commandLine.settings.has('HOST'),
      })
    : completeConfig(settings, { cwd, setupBucket: commandLine.setupBucket, problems });
  if (config === null || problems.length > 0) throw new ConfigError(problems);
  return deepFreeze(config);
}

interface Place {
  readonly cwd: string;
  readonly setupBucket: boolean;
  readonly problems: SettingProblem[];
}

function completeConfig(settings: ReadSettings, place: Place): Config | null {
  const s3 = s3Settings(settings, place.problems);
  const jwt = jwtSource(settings, place.cwd, place.problems);
  const rules = tokenRules(settings, place.problems);
  const common = commonConfig(settings, place, { host: '0.0.0.0', dev: false });
  checkProxies({ s3, jwt }, common.proxies, place.problems);
  if (jwt === null) return null;
  return { kind: 'complete', ...common, s3, jwt, ...(rules !== undefined && { tokenRules: rules }) };
}

function devConfig(
  settings: ReadSettings,
  place: Place & { env: Environment; hasHostFlag: boolean },
): DevConfig {
  const common = commonConfig(settings, place, { host: '127.0.0.1', dev: true });
  // Credentials for AWS are often around; they alone don't mean that a developer wants to use them.
  const ownStore = settings.isSet('S3_ENDPOINT') || settings.isSet('S3_BUCKET_NAME');
  const s3 = ownStore ? s3Settings(settings, place.problems) : null;
  if (s3 !== null) checkProxies({ s3, jwt: null }, common.proxies, place.problems);
  return {
    kind: 'dev',
    ...common,
    // Its tokens are in a file, and shells and containers often have a HOST that means something else.
    host: place.hasHostFlag ? common.host : '127.0.0.1',
    ignoredHost: place.hasHostFlag ? null : (settings.values.HOST ?? null),
    s3,
    s3Preferences: s3Preferences(settings, true),
    jwtSecret: devJwtSecret(settings, place.problems),
    childEnvironment: Object.fromEntries(
      Object.entries(place.env).flatMap(([name, value]) =>
        value === undefined || isSettingName(name) ? [] : [[name, value] as const],
      ),
    ),
  };
}

function commonConfig(
  settings: ReadSettings,
  { cwd, setupBucket, problems }: Place,
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

/** How a log is written to a descriptor. */
export function logStyle(
  logFormat: SettingValues['LOG_FORMAT'],
  fileDescriptor: 1 | 2,
): { readonly format: LogFormat; readonly toJournal: boolean } {
  const format = logFormat !== 'auto' ? logFormat : isatty(fileDescriptor) ? 'human' : 'json';
  return { format, toJournal: isJournal(fileDescriptor, process.env['JOURNAL_STREAM']) };
}
