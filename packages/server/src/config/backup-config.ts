import { resolve } from 'node:path';
import { ConfigError, type SettingProblem } from './config-error.ts';
import { readConfigFile, readSettings, type SettingSource } from './read-settings.ts';
import { databasePath } from './load-config.ts';
import { readArguments } from './command-line.ts';

export interface BackupConfig {
  readonly dev: boolean;
  /** Absolute path of the SQLite database. */
  readonly databasePath: string;
  /** Absolute path of the file to write. */
  readonly file: string;
}

const USAGE = 'backhaul-server backup FILE [--config FILE] [--dev]';

/**
 * Finds the database in the same way as the server, and reads no other setting.
 *
 * @param place.argv Arguments after `backup`.
 * @throws ConfigError with all problems.
 */
export function loadBackupConfig({
  argv,
  env = process.env,
  cwd,
}: {
  argv: readonly string[];
  env?: Readonly<Record<string, string | undefined>>;
  cwd: string;
}): BackupConfig {
  const { on, values, positionals, ...read } = readArguments(argv, {
    command: 'backhaul-server backup',
    switches: ['dev', 'help', 'version'],
    valued: ['config'],
  });
  const problems: SettingProblem[] = [...read.problems];
  const configFile = values.get('config');
  const config = configFile === undefined ? undefined : readConfigFile(configFile, cwd);
  problems.push(...(config?.problems ?? []));
  const sources: SettingSource[] = [
    { label: () => null, get: (name) => env[name] },
    { label: () => `in ${configFile}`, get: (name) => config?.settings.get(name) },
  ];
  const settings = readSettings(sources, problems, ['DATABASE_URL']);

  const [file, ...others] = positionals;
  if (file === undefined || file.value === '') {
    problems.push({ setting: 'FILE', message: `FILE is missing: ${USAGE}.` });
  } else if (others.length > 0) {
    problems.push({ setting: 'FILE', message: `Give one FILE, not ${positionals.length}: ${USAGE}.` });
  }
  if (file === undefined || problems.length > 0) throw new ConfigError(problems);
  const dev = on.has('dev');
  return { dev, databasePath: databasePath(settings, { cwd, dev }), file: resolve(cwd, file.value) };
}
