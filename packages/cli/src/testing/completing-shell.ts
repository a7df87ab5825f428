import { execFile, spawnSync } from 'node:child_process';
import path from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const program = path.join(import.meta.dirname, '..', '..', 'bin', 'backhaul.js');

/** What stands between the answers to two questions. */
const SEPARATOR = '-- next --';

interface Shell {
  readonly flags: readonly string[];
  /** Makes `backhaul` the program of these sources. */
  readonly define: string;
  /** Loads the script, in the way that the help of `completion` names. */
  readonly load: string;
  /** Prints what is offered where the last word of the line ends, one on a line. */
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
        // The function that `complete` has registered, whatever its name.
        '$(complete -p backhaul | sed "s/.*-F \\([^ ]*\\) .*/\\1/") backhaul',
        `(( \${#COMPREPLY[@]} )) && printf '%s\\n' "\${COMPREPLY[@]}"`,
      ].join('\n'),
  },
  zsh: {
    flags: ['-f', '-c'],
    // Completion itself needs a terminal. Its two functions that the script ends in print what they are given.
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
 * What a real shell offers, in order of the lines, at the end of each.
 *
 * @param lines Words, of which the last may be empty or begun.
 * @param place.env The shell's whole environment, with the PATH to find it by.
 * @throws Error if the shell says anything else.
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
