import { execFile, spawnSync } from 'node:child_process';
import path from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const program = path.join(import.meta.dirname, '../../../packages/cli/bin/backhaul.js');

/** Separates the output of two completions. */
const SEPARATOR = '-- next --';

interface Shell {
  readonly flags: readonly string[];
  /** Defines `backhaul` as the program in this repository. */
  readonly define: string;
  /** Loads the script as described in the help of `completion`. */
  readonly load: string;
  /** Prints the completions at the end of the last word, one per line. */
  readonly ask: (words: readonly string[]) => string;
}

const posixDefine = `backhaul() { ${quote(process.execPath)} ${quote(program)} "$@"; }`;

const shells = {
  bash: {
    flags: ['--norc', '--noprofile', '-c'],
    define: posixDefine,
    load: 'source <(backhaul completion bash)',
    ask: (words) =>
      [
        `COMP_WORDS=(${words.map(quote).join(' ')})`,
        `COMP_CWORD=${words.length - 1}`,
        // Calls the function that `complete` has registered.
        '$(complete -p backhaul | sed "s/.*-F \\([^ ]*\\) .*/\\1/") backhaul',
        `(( \${#COMPREPLY[@]} )) && printf '%s\\n' "\${COMPREPLY[@]}"`,
      ].join('\n'),
  },
  zsh: {
    flags: ['-f', '-c'],
    // Completion in zsh needs a terminal, so the two functions that the script calls are replaced by ones that print.
    define: `${posixDefine}
      compdef() { registered=$1 }
      _describe() { printf '%s\\n' "\${(@)\${(@P)2}%%:*}" | grep -- "^\${words[CURRENT]}" }
      _files() { printf '%s\\n' "\${words[CURRENT]}"*(N) }`,
    load: 'source <(backhaul completion zsh)',
    ask: (words) => `words=(${words.map(quote).join(' ')}) CURRENT=${words.length}; $registered`,
  },
  fish: {
    flags: ['--no-config', '-c'],
    define: `function backhaul; ${quote(process.execPath)} ${quote(program)} $argv; end`,
    load: 'backhaul completion fish | source',
    ask: (words) => `complete -C ${quote(words.join(' '))} | cut -f 1`,
  },
} as const satisfies Record<string, Shell>;
export type ShellName = keyof typeof shells;
export const shellNames = Object.keys(shells) as ShellName[];

export function isInstalled(name: ShellName): boolean {
  return spawnSync(name, ['--version']).error === undefined;
}

/**
 * Returns the completions of a real shell at the end of each line, in the order of the lines.
 *
 * @param lines Words of each line; the last may be empty or incomplete.
 * @param options.env The shell's whole environment, with the PATH to find it.
 * @throws Error if the shell writes to standard error.
 */
export async function offers(
  name: ShellName,
  lines: readonly (readonly string[])[],
  { env, cwd }: { readonly env: Readonly<Record<string, string>>; readonly cwd?: string },
): Promise<string[][]> {
  const { flags, define, load, ask } = shells[name] as Shell;
  const asked = lines.map((words) => `${ask(words)}\necho ${quote(SEPARATOR)}`);
  const { stdout, stderr } = await run(name, [...flags, [define, load, ...asked].join('\n')], {
    ...(cwd !== undefined && { cwd }),
    env: { HOME: '/nonexistent', TERM: 'dumb', ...env },
  });
  if (stderr !== '') throw new Error(`${name}: ${stderr}`);
  return stdout
    .split(`${SEPARATOR}\n`)
    .slice(0, -1)
    .map((text) => text.split('\n').filter((line) => line !== ''));
}

function quote(text: string): string {
  return `'${text.replaceAll("'", String.raw`'\''`)}'`;
}
