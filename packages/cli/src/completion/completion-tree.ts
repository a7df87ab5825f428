import { scopes } from '@backhaul/protocol';
import type { Argument, Option } from 'commander';
import { type AnyCommand, argumentsOf, type CommandGroup, optionsOf } from '../command.ts';
import { globalOptions, helpOption, versionOption } from '../global-options.ts';

/** What may stand in a place of a command line. `unknown` can be anything, so nothing is offered. */
export type Value =
  | { readonly kind: 'words'; readonly words: readonly string[] }
  | { readonly kind: 'clients' | 'uploads' | 'files' | 'unknown' };

export interface Flag {
  /** With its dashes. */
  readonly name: string;
  readonly summary: string;
  /** Undefined if it takes none. */
  readonly value: Value | undefined;
}

/** The program, a group of commands or a command, with what can follow it. */
export interface TreeNode {
  /** As it is typed, e.g. `backhaul token agent`. */
  readonly path: string;
  readonly commands: readonly { readonly name: string; readonly summary: string }[];
  readonly flags: readonly Flag[];
  readonly arguments: readonly Value[];
}

/** Values that no table of choices has, by flag and by argument. */
const flagValues: Readonly<Record<string, Value>> = {
  '--client-id': { kind: 'clients' },
  '--output': { kind: 'files' },
  '--scope': { kind: 'words', words: scopes },
};
const argumentValues: Readonly<Record<string, Value>> = {
  client: { kind: 'clients' },
  id: { kind: 'uploads' },
};

/** The program first, then every command in the order of the table, below its group. */
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
  // `required` and `optional` tell about the value, not about the flag.
  const isValued = option.required || option.optional;
  const value = argChoices === undefined ? flagValues[name] : { kind: 'words' as const, words: argChoices };
  return { name, summary: description, value: isValued ? (value ?? { kind: 'unknown' }) : undefined };
}

function valueOfArgument(argument: Argument): Value {
  const { argChoices } = argument;
  if (argChoices !== undefined) return { kind: 'words', words: argChoices };
  return argumentValues[argument.name()] ?? { kind: 'unknown' };
}
