import { scopes } from '@backhaul/protocol';
import type { Argument, Option } from 'commander';
import { type AnyCommand, argumentsOf, type CommandGroup, optionsOf } from '../command.ts';
import { globalOptions, helpOption, versionOption } from '../global-options.ts';

/** Possible values of a flag or argument. `unknown` can be anything, so no completions are offered. */
export type Value =
  | { readonly kind: 'words'; readonly words: readonly string[] }
  | { readonly kind: 'clients' | 'uploads' | 'files' | 'unknown' };

export interface Flag {
  /** Includes the dashes. */
  readonly name: string;
  readonly summary: string;
  /** Undefined if the flag takes no value. */
  readonly value: Value | undefined;
}

/** The program, a group of commands or one command, with everything that can follow it. */
export interface TreeNode {
  /** The words as typed, e.g. `backhaul token agent`. */
  readonly path: string;
  readonly commands: readonly { readonly name: string; readonly summary: string }[];
  readonly flags: readonly Flag[];
  readonly arguments: readonly Value[];
}

/** Values of flags and arguments that have no `choices` of their own. */
const flagValues: Readonly<Record<string, Value>> = {
  '--client-id': { kind: 'clients' },
  '--output': { kind: 'files' },
  '--scope': { kind: 'words', words: scopes },
};
const argumentValues: Readonly<Record<string, Value>> = {
  client: { kind: 'clients' },
  id: { kind: 'uploads' },
};

/** Returns the program first, then every command in table order, each after its group. */
export function completionTree(table: readonly (AnyCommand | CommandGroup)[]): TreeNode[] {
  const program: TreeNode = {
    path: 'backhaul',
    commands: table,
    flags: [...globalOptions, versionOption, helpOption].map(flagOf),
    arguments: [],
  };
  return [program, ...table.flatMap((entry) => nodesOf(program.path, entry))];
}

function nodesOf(parent: string, entry: AnyCommand | CommandGroup): TreeNode[] {
  const path = `${parent} ${entry.name}`;
  const common = [...globalOptions, helpOption];
  if ('commands' in entry) {
    const group: TreeNode = { path, commands: entry.commands, flags: common.map(flagOf), arguments: [] };
    return [group, ...entry.commands.flatMap((inner) => nodesOf(path, inner))];
  }
  const flags = [...optionsOf(entry), ...common].map(flagOf);
  return [{ path, commands: [], flags, arguments: argumentsOf(entry).map(valueOfArgument) }];
}

function flagOf(option: Option): Flag {
  const { long, description, argChoices } = option;
  const name = long ?? option.flags;
  // `required` and `optional` describe the value, not the flag.
  const isValued = option.required || option.optional;
  const value = argChoices === undefined ? flagValues[name] : { kind: 'words' as const, words: argChoices };
  return { name, summary: description, value: isValued ? (value ?? { kind: 'unknown' }) : undefined };
}

function valueOfArgument(argument: Argument): Value {
  const { argChoices } = argument;
  if (argChoices !== undefined) return { kind: 'words', words: argChoices };
  return argumentValues[argument.name()] ?? { kind: 'unknown' };
}
