import { parseArgs, type ParseArgsOptionsConfig } from 'node:util';
import { similarName } from './similar-name.ts';

/** A mistake on the command line, in a sentence that names the flag. */
export class FlagError extends Error {
  override readonly name = 'FlagError';
}

/** What stands in for a flag that is not known. Repeats only the flag: what follows may be a secret in the wrong place. */
export function unknownFlag(flag: string, program: string, known: Iterable<string>): string {
  const meant = similarName(flag, known);
  return `${flag} is not a flag of ${program}${meant === undefined ? '' : `: did you mean ${meant}`}; see --help.`;
}

/** A value that a later one would silently replace is refused; a switch that is on twice is on. */
export function repeatedFlag(flag: string): string {
  return `${flag} is given twice, and takes one value: leave one out.`;
}

/**
 * Reads flags alone, strictly. Those that are `multiple` may be repeated, and all are used.
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
