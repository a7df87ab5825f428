import { parseArgs } from 'node:util';
import type { SettingProblem } from './config-error.ts';
import { type SettingName, settingNames, settingOf } from './settings.ts';

export interface CommandLine {
  readonly dev: boolean;
  readonly setupBucket: boolean;
  readonly configFile: string | undefined;
  /** Settings given by a flag, as they were spelled. */
  readonly settings: ReadonlyMap<SettingName, string>;
  readonly problems: readonly SettingProblem[];
}

const switches = ['dev', 'setup-bucket', 'help', 'version'];
const settingByFlag = new Map<string, SettingName>(
  settingNames.flatMap((name) => {
    const { flag } = settingOf(name);
    return flag === undefined ? [] : [[flag, name] as const];
  }),
);

const options = {
  ...Object.fromEntries(switches.map((name) => [name, { type: 'boolean' as const }])),
  ...Object.fromEntries(
    ['config', ...settingByFlag.keys()].map((name) => [name, { type: 'string' as const }]),
  ),
};

/**
 * Collects mistakes instead of throwing at the first, unlike `parseArgs` in its strict mode; and repeats no
 * argument it does not know, which may be a secret in the wrong place.
 */
export function readCommandLine(argv: readonly string[]): CommandLine {
  const { tokens } = parseArgs({
    args: [...argv],
    options,
    strict: false,
    allowPositionals: true,
    tokens: true,
  });
  const on = new Set<string>();
  const settings = new Map<SettingName, string>();
  const problems: SettingProblem[] = [];
  let configFile: string | undefined;

  for (const token of tokens) {
    if (token.kind === 'option-terminator') continue;
    if (token.kind === 'positional') {
      const place = token.index + 1;
      problems.push({
        setting: 'arguments',
        message: `Argument ${place} is neither a flag nor the value of one; backhaul-server takes flags only.`,
      });
      continue;
    }
    const { name, rawName, value, inlineValue } = token;
    const setting = settingByFlag.get(name);
    if (!Object.hasOwn(options, name)) {
      problems.push({
        setting: rawName,
        message: `${rawName} is not a flag of backhaul-server; see --help.`,
      });
    } else if (switches.includes(name)) {
      if (value === undefined) on.add(name);
      else
        problems.push({
          setting: rawName,
          message: `${rawName} takes no value; leave it out to turn it off.`,
        });
    } else if (value === undefined || (!inlineValue && value.startsWith('-'))) {
      problems.push({ setting: rawName, message: `${rawName} needs a value: ${rawName} VALUE.` });
    } else if (setting !== undefined) {
      settings.set(setting, value);
    } else {
      configFile = value;
    }
  }
  return { dev: on.has('dev'), setupBucket: on.has('setup-bucket'), configFile, settings, problems };
}
