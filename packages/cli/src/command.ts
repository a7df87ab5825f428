import { Argument, type Option } from 'commander';
import { clientIdOption } from './argument-parsers.ts';
import type { Context } from './context.ts';

/** A command is data plus a handler. Help, parsing, errors and exit codes follow from it in one place. */
export interface Command<Arguments extends readonly unknown[], Options> {
  readonly name: string;
  /** One line, for the list of commands. */
  readonly summary: string;
  /** More, for the command's own help. */
  readonly description?: string;
  /**
   * Whether the command is about one machine: it is named by the first argument or by --client-id, and stands in
   * `options.clientId`.
   */
  readonly machine?: { readonly required: boolean; readonly description: string };
  /** After the machine. */
  readonly arguments?: readonly Argument[];
  readonly options?: readonly Option[];
  /** Each a whole command line. */
  readonly examples: readonly [string, ...string[]];
  /** Resolves to an exit code other than 0 where the command has its own way to say it. */
  run(context: Context, input: Input<Arguments, Options>): Promise<number | void>;
}

export interface Input<Arguments extends readonly unknown[], Options> {
  readonly arguments: Arguments;
  readonly options: Options;
}

/** Commands under one word, such as `token agent`. */
export interface CommandGroup {
  readonly name: string;
  readonly summary: string;
  readonly commands: readonly AnyCommand[];
}

export type AnyCommand = Command<readonly unknown[], unknown>;

/**
 * Types a command's input. The parsers of its arguments and options give what `Arguments` and `Options` say;
 * commander carries the values untyped in between.
 */
export function defineCommand<Arguments extends readonly unknown[], Options = object>(
  command: Command<Arguments, Options>,
): AnyCommand {
  return command;
}

/** As they are typed, the machine first. */
export function argumentsOf({ machine, arguments: own = [] }: AnyCommand): readonly Argument[] {
  return machine === undefined ? own : [new Argument('[client]', machine.description), ...own];
}

export function optionsOf({ machine, options = [] }: AnyCommand): readonly Option[] {
  return machine === undefined
    ? options
    : [clientIdOption(`${machine.description}; also the first argument`), ...options];
}
