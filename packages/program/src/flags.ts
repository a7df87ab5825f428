import { parseArgs, type ParseArgsOptionsConfig } from 'node:util';
import { similarName } from './similar-name.ts';

/** A usage error; the message names the flag. */
export class FlagError extends Error {
  override readonly name = 'FlagError';
}

/** Error message for an unknown flag. Contains only the flag, because its value may be a misplaced secret. */
export function unknownFlag(flag: string, program: string, known: Iterable<string>): string {
  const similar = similarName(flag, known);
  return `${flag} is not a flag of ${program}${similar === undefined ? '' : `: did you mean ${similar}`}; see --help.`;
}

/** Error message for a repeated flag, whose first value would otherwise be ignored. A repeated switch is no error. */
export function repeatedFlag(flag: string): string {
  return `${flag} is given twice, but takes only one value.`;
}

/**
 * Parses flags strictly, without positional arguments. Only flags that are `multiple` may be repeated.
 *
 * @throws FlagError
 */
export function readFlags<const Options extends ParseArgsOptionsConfig>(
  argv: readonly string[],
  { program, options }: { readonly program: string; readonly options: Options },
) {
  const args = [...argv];
  const { tokens } = parseArgs({ args, options, strict: false, tokens: true });
  const given = new Set<string>();
  for (const token of tokens) {
    if (token.kind !== 'option') continue;
    const { name, rawName } = token;
    const option = options[name];
    if (option === undefined) {
      const known = Object.keys(options).map((each) => `--${each}`);
      throw new FlagError(unknownFlag(rawName, program, known));
    }
    if (option.type === 'string' && option.multiple !== true) {
      if (given.has(name)) throw new FlagError(repeatedFlag(rawName));
      given.add(name);
    }
  }
  try {
    return parseArgs({ args, options, strict: true, allowPositionals: false }).values;
  } catch (error) {
    const [firstLine = ''] = (error instanceof Error ? error.message : String(error)).split('\n');
    throw new FlagError(`${firstLine} See ${program} --help.`, { cause: error });
  }
}
