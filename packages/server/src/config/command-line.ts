import type { SettingProblem } from './config-error.ts';
import { readArguments } from './read-arguments.ts';
import { type SettingName, settingNames, settingOf } from './settings.ts';

export interface CommandLine {
  readonly dev: boolean;
  readonly setupBucket: boolean;
  readonly configFile: string | undefined;
  /** Settings given by a flag, as they were spelled. */
  readonly settings: ReadonlyMap<SettingName, string>;
  readonly problems: readonly SettingProblem[];
}

const settingByFlag = new Map<string, SettingName>(
  settingNames.flatMap((name) => {
    const { flag } = settingOf(name);
    return flag === undefined ? [] : [[flag, name] as const];
  }),
);

/** Reads the server's command line. */
export function readCommandLine(argv: readonly string[]): CommandLine {
  const { on, values, positionals, problems } = readArguments(argv, {
    command: 'backhaul-server',
    switches: ['dev', 'setup-bucket', 'help', 'version'],
    valued: ['config', ...settingByFlag.keys()],
  });
  const strays = positionals.map(({ position }) => ({
    setting: 'arguments',
    message: `Argument ${position} is neither a flag nor the value of one; the only command is backup, and comes first: backhaul-server backup FILE.`,
  }));
  const settings = new Map(
    [...settingByFlag].flatMap(([flag, name]) => {
      const value = values.get(flag);
      return value === undefined ? [] : [[name, value] as const];
    }),
  );
  return {
    dev: on.has('dev'),
    setupBucket: on.has('setup-bucket'),
    configFile: values.get('config'),
    settings,
    problems: [...problems, ...strays],
  };
}
