import { repeatedFlag, similarName } from '@backhaul/program';
import {
  type Argument,
  Command as Parser,
  CommanderError,
  InvalidArgumentError,
  type Option,
} from 'commander';
import manifest from '../package.json' with { type: 'json' };
import { globalOptions, helpOption, versionOption } from './arguments.ts';
import { type AnyCommand, argumentsOf, type CommandGroup, type Input, optionsOf } from './command.ts';
import { commands } from './commands/index.ts';
import type { GlobalFlags } from './config.ts';
import { manualPage, type Page } from './help.ts';
import { parseClientId } from './identifiers.ts';

const VERSION: string = manifest.version;

export interface GlobalOptions extends GlobalFlags {
  readonly json?: boolean;
}

/** A parsed command line: the command to run and its input. */
export interface Invocation {
  readonly command: AnyCommand;
  readonly globals: GlobalOptions;
  readonly input: Input<readonly unknown[], Readonly<Record<string, unknown>>>;
}

export interface HelpOutput {
  readonly writeOut: (text: string) => void;
  /** For help printed because a command was missing. */
  readonly writeErr: (text: string) => void;
}

/**
 * Parses a command line without running anything.
 *
 * @throws CommanderError for a usage error, and, with `exitCode` 0, after printing help or version.
 */
export function parseCommandLine(argv: readonly string[], { writeOut, writeErr }: HelpOutput): Invocation {
  let invocation: Invocation | undefined;
  const program = new Parser('backhaul')
    .version(VERSION, versionOption.flags, versionOption.description)
    .showSuggestionAfterError(false)
    // Usage errors are printed by renderFailure, like all other errors.
    .configureOutput({ writeOut, writeErr, outputError: () => undefined });
  configureHelp(program, programPage);
  checkFlags(program, [...globalOptions, versionOption]);
  for (const option of globalOptions) program.addOption(option);
  for (const command of commands) {
    addCommand({ parser: program, path: 'backhaul' }, command, (found) => {
      invocation = found;
    });
  }
  program.parse(argv, { from: 'user' });
  if (invocation === undefined) throw new Error('the parser neither ran a command nor reported an error');
  return invocation;
}

type OnInvocation = (invocation: Invocation) => void;

function addCommand(
  parent: { readonly parser: Parser; readonly path: string },
  entry: AnyCommand | CommandGroup,
  onInvocation: OnInvocation,
): void {
  const { name, summary } = entry;
  const path = `${parent.path} ${name}`;
  const parser = parent.parser.command(name);
  if ('commands' in entry) {
    const examples = entry.commands.flatMap((inner) => inner.examples);
    configureHelp(parser, {
      name: path,
      summary,
      commands: entry.commands,
      options: globalOptions,
      examples,
    });
    for (const inner of entry.commands) addCommand({ parser, path }, inner, onInvocation);
    checkFlags(parser, globalOptions);
    parser.helpCommand(false);
    return;
  }
  const [taken, options] = [argumentsOf(entry), optionsOf(entry)];
  configureHelp(parser, { ...entry, name: path, arguments: taken, options: [...options, ...globalOptions] });
  checkFlags(parser, [...options, ...globalOptions]);
  // The meaning of the arguments depends on --client-id, so inputOf() parses them.
  for (const argument of taken) parser.argument(`[${argument.name()}]`);
  for (const option of options) parser.addOption(option);
  parser.action(() => {
    const globals = parser.optsWithGlobals<GlobalOptions>();
    onInvocation({ command: entry, globals, input: inputOf(entry, parser) });
  });
}

/** Takes the machine from the first argument or from --client-id, then parses the other arguments. */
function inputOf(entry: AnyCommand, parser: Parser): Invocation['input'] {
  const given = [...parser.args];
  const options = parser.opts<{ clientId?: string }>();
  const { machine, arguments: own = [] } = entry;
  if (machine !== undefined && (options.clientId === undefined || given.length > own.length)) {
    const [client] = given.splice(0, 1);
    if (client !== undefined && options.clientId !== undefined) {
      throw usageError(`the machine is given twice: as ${client} and with --client-id`);
    }
    if (client !== undefined) options.clientId = parseAs('client', client, parseClientId);
    if (client === undefined && machine.required)
      throw usageError('missing machine: give its client_id as the first argument or with --client-id');
  }
  const read = own.map((argument, index) => readArgument(argument, given[index]));
  return { arguments: read, options };
}

function readArgument(argument: Argument, text: string | undefined): unknown {
  if (text !== undefined) {
    const parse = argument.parseArg;
    return parse === undefined ? text : parseAs(argument.name(), text, (value) => parse(value, undefined));
  }
  if (argument.required) throw usageError(`missing required argument '${argument.name()}'`);
  return argument.defaultValue;
}

function parseAs<T>(name: string, text: string, parse: (text: string) => T): T {
  try {
    return parse(text);
  } catch (error) {
    if (!(error instanceof InvalidArgumentError)) throw error;
    throw usageError(`command-argument value '${text}' is invalid for argument '${name}'. ${error.message}`);
  }
}

function usageError(message: string): CommanderError {
  return new CommanderError(1, 'backhaul.usage', `error: ${message}`);
}

/**
 * Refuses a flag that is given twice, unless its parser collects all values, and suggests a similar flag for an
 * unknown one.
 */
function checkFlags(parser: Parser, flags: readonly Option[]): void {
  const given = new Set<Option>();
  for (const option of flags) {
    if (!option.required || Array.isArray(option.defaultValue)) continue;
    parser.on(`option:${option.name()}`, () => {
      if (given.has(option)) throw usageError(repeatedFlag(option.long ?? option.flags));
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
    throw meant === undefined ? error : usageError(`unknown option '${flag}' (did you mean ${meant}?)`);
  });
}

function configureHelp(parser: Parser, page: Page): void {
  parser
    .helpOption(helpOption.flags, helpOption.description)
    .configureHelp({ formatHelp: () => manualPage(page) });
}

const programPage: Page = {
  name: 'backhaul',
  summary: 'pull files from machines you cannot reach',
  description:
    'Pulls files, through a Backhaul server, from machines that accept no incoming connections, and manages uploads, ' +
    'agents and tokens. Each command has its own --help.',
  commands,
  options: [...globalOptions, versionOption],
  examples: [
    'backhaul download --client-id restaurant-1 --file /data/report.bin --output report.bin',
    'backhaul uploads --status failed',
    'backhaul doctor',
  ],
};
