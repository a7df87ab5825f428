import { repeatedFlag, similarName } from '@backhaul/program';
import {
  type Argument,
  CommanderError,
  InvalidArgumentError,
  type Option,
  Command as Parser,
} from 'commander';
import { parseClientId } from './argument-parsers.ts';
import { type AnyCommand, argumentsOf, type CommandGroup, type Input, optionsOf } from './command.ts';
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
  readonly input: Input<readonly unknown[], Readonly<Record<string, unknown>>>;
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
    .showSuggestionAfterError(false)
    // The message of a mistake is printed with all other errors, in one place.
    .configureOutput({ writeOut, writeErr, outputError: () => undefined });
  layOutHelp(program, programPage);
  refuseUnclear(program, [...globalOptions, versionOption]);
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
    refuseUnclear(parser, globalOptions);
    parser.helpCommand(false);
    return;
  }
  const [taken, options] = [argumentsOf(entry), optionsOf(entry)];
  layOutHelp(parser, { ...entry, name: path, arguments: taken, options: [...options, ...globalOptions] });
  refuseUnclear(parser, [...options, ...globalOptions]);
  // Which argument is which depends on --client-id, so they are understood below.
  for (const argument of taken) parser.argument(`[${argument.name()}]`);
  for (const option of options) parser.addOption(option);
  parser.action(() => {
    const globals = parser.optsWithGlobals<GlobalOptions>();
    onCall({ command: entry, globals, input: inputOf(entry, parser) });
  });
}

/** The machine by its argument or its flag, then the other arguments as their parsers read them. */
function inputOf(entry: AnyCommand, parser: Parser): Call['input'] {
  const given = [...parser.args];
  const options = parser.opts<{ clientId?: string }>();
  const { machine, arguments: own = [] } = entry;
  if (machine !== undefined && (options.clientId === undefined || given.length > own.length)) {
    const [client] = given.splice(0, 1);
    if (client !== undefined && options.clientId !== undefined) {
      throw mistake(`the machine is given twice, as ${client} and by --client-id: leave one out`);
    }
    if (client !== undefined) options.clientId = parseAs('client', client, parseClientId);
    if (client === undefined && machine.required)
      throw mistake('name the machine: as the first argument, or with --client-id');
  }
  const read = own.map((argument, index) => readArgument(argument, given[index]));
  return { arguments: read, options };
}

function readArgument(argument: Argument, text: string | undefined): unknown {
  if (text !== undefined) {
    const parse = argument.parseArg;
    return parse === undefined ? text : parseAs(argument.name(), text, (value) => parse(value, undefined));
  }
  if (argument.required) throw mistake(`missing required argument '${argument.name()}'`);
  return argument.defaultValue;
}

function parseAs<T>(name: string, text: string, parse: (text: string) => T): T {
  try {
    return parse(text);
  } catch (error) {
    if (!(error instanceof InvalidArgumentError)) throw error;
    throw mistake(`command-argument value '${text}' is invalid for argument '${name}'. ${error.message}`);
  }
}

function mistake(message: string): CommanderError {
  return new CommanderError(1, 'backhaul.usage', `error: ${message}`);
}

/**
 * A value is never silently replaced by a later one, unless all count (their parser gathers them); and a flag that is
 * not known is told with the one that was meant.
 */
function refuseUnclear(parser: Parser, flags: readonly Option[]): void {
  const given = new Set<Option>();
  for (const option of flags) {
    if (!option.required || Array.isArray(option.defaultValue)) continue;
    parser.on(`option:${option.name()}`, () => {
      if (given.has(option)) throw mistake(repeatedFlag(option.long ?? option.flags));
      given.add(option);
    });
  }
  parser.exitOverride((error) => {
    const flag = /unknown option '([^']+)'/.exec(error.message)?.[1];
    if (flag === undefined) throw error;
    const meant = similarName(
      flag,
      flags.flatMap(({ long }) => long ?? []),
    );
    throw meant === undefined ? error : mistake(`unknown option '${flag}' (did you mean ${meant}?)`);
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
