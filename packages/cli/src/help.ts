import { type Argument, Help, type Option } from 'commander';
import { helpOption } from './arguments.ts';
import type { AnyCommand, CommandGroup } from './command.ts';
import { exitCodeTexts } from './failure.ts';

const TERM = '    ';
const TEXT = '        ';
const WIDTH = 80;
/** Indent of the continued lines of an example. */
const CONTINUED = '    ';

/** Content of a manual page for the program, a group of commands or one command. */
export interface Page {
  /** The words as typed, e.g. `backhaul token agent`. */
  readonly name: string;
  /** One line. */
  readonly summary: string;
  /** Full sentences; defaults to the summary. */
  readonly description?: string;
  readonly commands?: readonly (AnyCommand | CommandGroup)[];
  readonly arguments?: readonly Argument[];
  readonly options: readonly Option[];
  readonly examples: readonly string[];
}

/** Formats a page as a manual page for 80 columns. */
export function manualPage(page: Page): string {
  const commands = (page.commands ?? []).flatMap(({ name, summary }) => entry(name, sentence(summary)));
  const options = [...page.options, helpOption];
  const sections: (readonly [heading: string, lines: readonly string[]])[] = [
    ['NAME', [`${TERM}${page.name} - ${page.summary}`]],
    ['SYNOPSIS', synopsis(page)],
    ['DESCRIPTION', description(page)],
    ['COMMANDS', commands],
    ['OPTIONS', options.flatMap((option) => entry(option.flags, sentence(describe(option))))],
    ['ENVIRONMENT', environment],
    ['EXIT STATUS', exitCodeTexts.map(([code, text]) => `${TERM}${String(code).padEnd(5)}${text}`)],
    ['FILES', files],
    ['EXAMPLES', page.examples.flatMap((line) => wrapExample(line, TERM, WIDTH))],
  ];
  const filled = sections.filter(([, lines]) => lines.length > 0);
  return `${filled.map(([heading, lines]) => [heading, ...lines].join('\n')).join('\n\n')}\n`;
}

/** The description with choices and default. */
function describe(option: Option): string {
  return new Help().optionDescription(option);
}

function synopsis({ name, commands = [], arguments: taken = [], options }: Page): string[] {
  const needed = options.filter(({ mandatory }) => mandatory).map(({ flags }) => flags);
  const own = taken.map((argument) => (argument.required ? `<${argument.name()}>` : `[${argument.name()}]`));
  const words = [name, ...needed, '[option]...', ...(commands.length > 0 ? ['<command>'] : []), ...own];
  return [`${TERM}${words.join(' ')}`];
}

function description({ summary, description: text, arguments: taken = [] }: Page): string[] {
  const paragraph = wrapWords(text ?? sentence(summary), TERM, WIDTH);
  const own = taken.flatMap((argument) => entry(argument.name(), sentence(argument.description)));
  return own.length === 0 ? paragraph : [...paragraph, '', ...own];
}

function entry(term: string, text: string): string[] {
  return [`${TERM}${term}`, ...wrapWords(text, TEXT, WIDTH)];
}

function sentence(text: string): string {
  const [first = ''] = text;
  return `${first.toUpperCase()}${text.slice(1)}${text.endsWith('.') ? '' : '.'}`;
}

const environment = [
  ...entry('BACKHAUL_URL', 'Address of the server, http(s):// or ws(s)://.'),
  ...entry('BACKHAUL_TOKEN', 'Operator token.'),
  ...entry('JWT_SECRET', 'Secret that signs tokens; used only by backhaul token.'),
  ...entry('NO_COLOR', 'Any non-empty value disables colour.'),
];

const files = entry(
  '.backhaul/dev.json',
  'Address, token and secret of a development server, used for settings that are given neither by flag nor by ' +
    'environment. "backhaul-server --dev" writes it into its working directory.',
);

/** Wraps words to lines of at most `width` characters including the indent; a longer word gets its own line. */
export function wrapWords(text: string, indent: string, width: number): string[] {
  return fill(text.split(' '), width - indent.length).map((line) => `${indent}${line}`);
}

/** Wraps a shell command line with backslash continuations, never inside quotes. */
export function wrapExample(line: string, indent: string, width: number): string[] {
  const words = line.match(/(?:"[^"]*"|'[^']*'|[^\s"'])+/g) ?? [];
  const continuation = ' \\';
  // Keeps a flag with its value, and an operator with the word after it.
  const pieces: string[] = [];
  for (const word of words) {
    const last = pieces.at(-1);
    const joins = last !== undefined && /^(--?\S+|[|>])$/.test(last) && !/^[-|>]/.test(word);
    if (joins) pieces[pieces.length - 1] = `${last} ${word}`;
    else pieces.push(word);
  }
  const room = width - indent.length - continuation.length;
  const [first = '', ...rest] = fill(pieces, room, CONTINUED);
  return [first, ...rest].map(
    (text, index, all) =>
      `${indent}${index === 0 ? '' : CONTINUED}${text}${index < all.length - 1 ? continuation : ''}`,
  );
}

/** @param hanging Indent of all lines except the first; reduces their width. */
function fill(words: readonly string[], width: number, hanging = ''): string[] {
  const lines: string[] = [];
  for (const word of words) {
    const last = lines.at(-1);
    const room = lines.length > 1 ? width - hanging.length : width;
    if (last !== undefined && last.length + 1 + word.length <= room)
      lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  return lines;
}
