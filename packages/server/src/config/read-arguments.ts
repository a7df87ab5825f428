import { parseArgs } from 'node:util';
import { repeatedFlag, unknownFlag } from '@backhaul/program';
import type { SettingProblem } from './config-error.ts';

export interface ArgumentNames {
  /** Name of the command, for messages. */
  readonly command: string;
  /** Flags that take no value. */
  readonly switches: readonly string[];
  /** Flags that take a value. */
  readonly valued: readonly string[];
}

export interface ReadArguments {
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
