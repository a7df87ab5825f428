import { BackhaulClient } from '@backhaul/client';
import { Argument, type Option } from 'commander';
import type { Config } from './config.ts';
import { UsageError } from './errors.ts';
import { clientIdOption } from './identifiers.ts';
import type { Output } from './output.ts';

/** Dependencies passed to every command. */
export interface Context {
  readonly config: Config;
  readonly output: Output;
  /** Aborts when the user interrupts the command; the reason is `Interrupted`. */
  readonly signal: AbortSignal;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
}

/** @throws UsageError or BackhaulError naming the setting that is missing or wrong. */
export function connect({ config }: Context): BackhaulClient {
  const { url, token, insecure, network } = config;
  try {
    return new BackhaulClient({ url: url.value, token: token.value, insecure, fetch: network.fetch });
  } catch (cause) {
    const problem = cause instanceof Error ? cause.message : 'it cannot be used';
    throw new UsageError(`${token.source}: ${problem}.`, null, { cause });
  }
}

/** A command is data plus a handler. Help, parsing, errors and exit codes are derived from it in one place. */
export interface Command<Arguments extends readonly unknown[], Options> {
  readonly name: string;
  /** One line, for the list of commands. */
  readonly summary: string;
  /** Full sentences for the command's own help. */
  readonly description?: string;
  /**
   * Set if the command is about one machine. The machine is given as the first argument or with --client-id, and is
   * passed to `run` as `options.clientId`.
   */
  readonly machine?: { readonly required: boolean; readonly description: string };
  /** Arguments that follow the machine. */
  readonly arguments?: readonly Argument[];
  readonly options?: readonly Option[];
  /** Complete command lines. */
  readonly examples: readonly [string, ...string[]];
  /** May resolve to an exit code for a failure that the command has already reported itself. */
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
 * Types a command's input. The parsers of its arguments and options must return the types in `Arguments` and `Options`;
 * commander passes the values on untyped.
 */
export function defineCommand<Arguments extends readonly unknown[], Options = object>(
  command: Command<Arguments, Options>,
): AnyCommand {
  return command;
}

/** Arguments in the order in which they are typed, the machine first. */
export function argumentsOf({ machine, arguments: own = [] }: AnyCommand): readonly Argument[] {
  return machine === undefined ? own : [new Argument('[client]', machine.description), ...own];
}

export function optionsOf({ machine, options = [] }: AnyCommand): readonly Option[] {
  return machine === undefined
    ? options
    : [clientIdOption(`${machine.description}; also the first argument`), ...options];
}
