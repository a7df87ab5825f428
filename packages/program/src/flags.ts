import { parseArgs, type ParseArgsOptionsConfig } from 'node:util';

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

/**
 * Finds the name that was probably meant: the only one that starts with `given`, else the one with the smallest edit
 * distance.
 *
 * @returns undefined if no name is similar, or if several are equally similar.
 */
export function similarName(given: string, names: Iterable<string>): string | undefined {
  const all = [...new Set(names)];
  const longer = all.filter((name) => name.startsWith(given));
  if (given !== '' && longer.length === 1) return longer[0];
  // Allows one edit per four letters: with more, almost any name would match.
  const most = Math.floor(given.length / 4) + (given.length >= 3 ? 1 : 0);
  let best: { readonly name: string; readonly distance: number; readonly tied: boolean } | undefined;
  for (const name of all) {
    if (Math.abs(name.length - given.length) > most) continue;
    const distance = editDistance(given, name);
    if (distance > most || distance > (best?.distance ?? most)) continue;
    best = { name, distance, tied: distance === best?.distance };
  }
  return best?.tied === false ? best.name : undefined;
}

/** Damerau–Levenshtein distance (optimal string alignment). */
function editDistance(a: string, b: string): number {
  let before: number[] = [];
  let previous = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i += 1) {
    const current = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const replaced = (previous[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      let least = Math.min(replaced, (previous[j] ?? 0) + 1, (current[j - 1] ?? 0) + 1);
      const isSwapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      if (isSwapped) least = Math.min(least, (before[j - 2] ?? 0) + 1);
      current.push(least);
    }
    before = previous;
    previous = current;
  }
  return previous[b.length] ?? 0;
}
