import { parseArgs } from 'node:util';
import { repeatedFlag, unknownFlag } from '@backhaul/program';
import type { SettingProblem } from './config-error.ts';
import { type SettingName, settingNames, settingOf } from './settings.ts';

interface CommandLine {
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

interface ArgumentNames {
  /** Name of the command, for messages. */
  readonly command: string;
  /** Flags that take no value. */
  readonly switches: readonly string[];
  /** Flags that take a value. */
  readonly valued: readonly string[];
}

interface ReadArguments {
  /** Switches that were given. */
  readonly on: ReadonlySet<string>;
  /** Values of flags, unparsed. */
  readonly values: ReadonlyMap<string, string>;
  readonly positionals: readonly { readonly position: number; readonly value: string }[];
  readonly problems: readonly SettingProblem[];
}

/**
 * Collects mistakes instead of throwing at the first, unlike `parseArgs` in its strict mode. It never repeats an unknown
 * argument, which may be a misplaced secret.
 */
export function readArguments(
  argv: readonly string[],
  { command, switches, valued }: ArgumentNames,
): ReadArguments {
  const { tokens } = parseArgs({
    args: [...argv],
    options: {
      ...Object.fromEntries(switches.map((name) => [name, { type: 'boolean' as const }])),
      ...Object.fromEntries(valued.map((name) => [name, { type: 'string' as const }])),
    },
    strict: false,
    allowPositionals: true,
    tokens: true,
  });
  const on = new Set<string>();
  const values = new Map<string, string>();
  const positionals: { position: number; value: string }[] = [];
  const problems: SettingProblem[] = [];
  const complain = (setting: string, message: string) => problems.push({ setting, message });

  const known = [...switches, ...valued].map((name) => `--${name}`);
  for (const token of tokens) {
    if (token.kind === 'option-terminator') continue;
    if (token.kind === 'positional') {
      positionals.push({ position: token.index + 1, value: token.value });
      continue;
    }
    const { name, rawName, value, inlineValue } = token;
    if (switches.includes(name)) {
      if (value === undefined) on.add(name);
      else complain(rawName, `${rawName} takes no value; omit it to turn it off.`);
    } else if (!valued.includes(name)) {
      complain(rawName, unknownFlag(rawName, command, known));
    } else if (value === undefined || (!inlineValue && value.startsWith('-'))) {
      complain(rawName, `${rawName} needs a value: ${rawName} VALUE.`);
    } else if (values.has(name)) {
      complain(rawName, repeatedFlag(rawName));
    } else {
      values.set(name, value);
    }
  }
  return { on, values, positionals, problems };
}
