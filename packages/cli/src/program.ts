import { Command as Parser } from 'commander';
import type { AnyCommand, CommandGroup, Input } from './command.ts';
import { commands } from './commands/index.ts';
import type { GlobalFlags } from './config.ts';
import { exitCodeTexts } from './exit-codes.ts';
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
    .description('Pull files from machines you cannot reach.')
    .version(VERSION, '--version', 'print the version')
    .helpOption('--help', 'print this help')
    .option('--url <url>', "the server's address; also BACKHAUL_URL")
    .option('--token <token>', 'an operator token; better BACKHAUL_TOKEN, which others cannot see')
    .option('--json', 'print JSON, for programs')
    .exitOverride()
    // The message of a mistake is printed with all other errors, in one place.
    .configureOutput({ writeOut, writeErr, outputError: () => undefined })
    .configureHelp({ showGlobalOptions: true })
    .addHelpText('after', programHelp);
  for (const command of commands) {
    addCommand(program, command, (found) => {
      call = found;
    });
  }
  program.parse(argv, { from: 'user' });
  if (call === undefined) throw new Error('a command line was neither understood nor refused');
  return call;
}

type OnCall = (call: Call) => void;

function addCommand(parent: Parser, command: AnyCommand | CommandGroup, onCall: OnCall): void {
  const parser = parent.command(command.name).summary(command.summary).description(command.summary);
  parser.helpOption('--help', 'print this help');
  if ('commands' in command) {
    for (const inner of command.commands) addCommand(parser, inner, onCall);
    parser.helpCommand(false);
    parser.addHelpText('after', examples(command.commands.flatMap((inner) => inner.examples)));
    return;
  }
  if (command.description !== undefined) parser.description(command.description);
  for (const argument of command.arguments ?? []) parser.addArgument(argument);
  for (const option of command.options ?? []) parser.addOption(option);
  parser.addHelpText('after', examples(command.examples));
  parser.action(() => {
    const globals = parser.optsWithGlobals<GlobalOptions>();
    onCall({ command, globals, input: { arguments: parser.processedArgs, options: parser.opts() } });
  });
}

function examples(lines: readonly string[]): string {
  return `\nExamples:\n${lines.map((line) => `  $ ${line}`).join('\n')}`;
}

const programHelp = `${examples([
  'backhaul download --client-id restaurant-1 --file /data/report.bin --output report.bin',
  'backhaul uploads --status failed',
  'backhaul doctor',
])}

Environment:
  BACKHAUL_URL    the server's address, http(s):// or ws(s)://
  BACKHAUL_TOKEN  an operator token
  JWT_SECRET      signs tokens (backhaul token)
  NO_COLOR        no colour
  Without these, .backhaul/dev.json of "backhaul-server --dev" in the working directory is used.

Exit codes:
${exitCodeTexts.map(([code, text]) => `  ${String(code).padStart(3)}  ${text}`).join('\n')}`;
