import { Command as Parser } from 'commander';
import type { AnyCommand, CommandGroup, Input } from './command.ts';
import { commands } from './commands/index.ts';
import type { GlobalFlags } from './config.ts';
import { globalOptions, helpOption, versionOption } from './global-options.ts';
import { manualPage, type Page } from './help.ts';
import { VERSION } from './version.ts';

export interface GlobalOptions extends GlobalFlags {
  readonly json?: boolean;
}

/** A command line, understood: what is to run, and with what. */
export interface Call {
  readonly command: AnyCommand;
  readonly globals: GlobalOptions;
  readonly input: Input<readonly unknown[], unknown>;
}

export interface HelpOutput {
  readonly writeOut: (text: string) => void;
  /** Help that was not asked for: a command was missing. */
  readonly writeErr: (text: string) => void;
}

/**
 * Understands a command line without running anything.
 *
 * @throws CommanderError for a mistake, and after help or version was printed, when its `exitCode` is 0.
 */
export function parseCall(argv: readonly string[], { writeOut, writeErr }: HelpOutput): Call {
  let call: Call | undefined;
  const program = new Parser('backhaul')
    .version(VERSION, versionOption.flags, versionOption.description)
    .exitOverride()
    // The message of a mistake is printed with all other errors, in one place.
    .configureOutput({ writeOut, writeErr, outputError: () => undefined });
  layOutHelp(program, programPage);
  for (const option of globalOptions) program.addOption(option);
  for (const command of commands) {
    addCommand({ parser: program, path: 'backhaul' }, command, (found) => {
      call = found;
    });
  }
  program.parse(argv, { from: 'user' });
  if (call === undefined) throw new Error('a command line was neither understood nor refused');
  return call;
}

type OnCall = (call: Call) => void;

function addCommand(
  parent: { readonly parser: Parser; readonly path: string },
  entry: AnyCommand | CommandGroup,
  onCall: OnCall,
): void {
  const { name, summary } = entry;
  const path = `${parent.path} ${name}`;
  const parser = parent.parser.command(name);
  if ('commands' in entry) {
    const examples = entry.commands.flatMap((inner) => inner.examples);
    layOutHelp(parser, { name: path, summary, commands: entry.commands, options: globalOptions, examples });
    for (const inner of entry.commands) addCommand({ parser, path }, inner, onCall);
    parser.helpCommand(false);
    return;
  }
  layOutHelp(parser, { ...entry, name: path, options: [...(entry.options ?? []), ...globalOptions] });
  for (const argument of entry.arguments ?? []) parser.addArgument(argument);
  for (const option of entry.options ?? []) parser.addOption(option);
  parser.action(() => {
    const globals = parser.optsWithGlobals<GlobalOptions>();
    onCall({ command: entry, globals, input: { arguments: parser.processedArgs, options: parser.opts() } });
  });
}

function layOutHelp(parser: Parser, page: Page): void {
  parser
    .helpOption(helpOption.flags, helpOption.description)
    .configureHelp({ formatHelp: () => manualPage(page) });
}

const programPage: Page = {
  name: 'backhaul',
  summary: 'pull files from machines you cannot reach',
  description:
    'Asks a Backhaul server for files of machines that nobody can connect to, watches them come, and looks after ' +
    'uploads and agents. Each command has its own --help.',
  commands,
  options: [...globalOptions, versionOption],
  examples: [
    'backhaul download --client-id restaurant-1 --file /data/report.bin --output report.bin',
    'backhaul uploads --status failed',
    'backhaul doctor',
  ],
};
