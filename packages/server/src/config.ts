import { readCommandLine } from './config/command-line.ts';
import { ConfigError, type SettingProblem } from './config/config-error.ts';
import { readConfigFile } from './config/config-file.ts';
import type { Config, DevConfig } from './config/config-types.ts';
import { databasePath } from './config/database-path.ts';
import { deepFreeze } from './config/deep-freeze.ts';
import { devJwtSecret, jwtSource } from './config/jwt-from-settings.ts';
import { type ReadSettings, readSettings } from './config/read-settings.ts';
import { s3Preferences, s3Settings } from './config/s3-from-settings.ts';
import { isSettingName } from './config/settings.ts';
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
      { label: () => null, get: (name) => env[name] },
      { label: () => `in ${commandLine.configFile}`, get: (name) => file?.settings.get(name) },
    ],
    problems,
  );
  const config = commandLine.dev
    ? devConfig(settings, { cwd, env, setupBucket: commandLine.setupBucket, problems })
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
  const common = commonConfig(settings, place, { host: '0.0.0.0', dev: false });
  return jwt === null ? null : { kind: 'complete', ...common, s3, jwt };
}

function devConfig(settings: ReadSettings, place: Place & { env: Environment }): DevConfig {
  // Credentials for AWS are often around; they alone don't mean that a developer wants to use them.
  const ownStore = settings.isSet('S3_ENDPOINT') || settings.isSet('S3_BUCKET_NAME');
  return {
    kind: 'dev',
    ...commonConfig(settings, place, { host: '127.0.0.1', dev: true }),
    s3: ownStore ? s3Settings(settings, place.problems) : null,
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
    maxFileSize: values.MAX_FILE_SIZE ?? null,
    retentionDays: values.RETENTION_DAYS,
    orphanAgeSeconds: values.ORPHAN_AGE_SECONDS,
    logLevel: values.LOG_LEVEL,
  };
}
