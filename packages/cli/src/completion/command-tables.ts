import { scopes } from '@backhaul/protocol';
import type { Argument, Option } from 'commander';
import { globalOptions, helpOption, versionOption } from '../arguments.ts';
import { type AnyCommand, argumentsOf, type CommandGroup, optionsOf } from '../command.ts';

/** Possible values of a flag or argument. `unknown` can be anything, so no completions are offered. */
type Value =
  | { readonly kind: 'words'; readonly words: readonly string[] }
  | { readonly kind: 'clients' | 'uploads' | 'files' | 'unknown' };

interface Flag {
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

/** One completion; shells that can show the summary next to it. */
interface Candidate {
  readonly word: string;
  readonly summary?: string;
}

type Row = readonly [keys: readonly string[], action: string];

/** The tables in the syntax of one shell. */
export interface Dialect {
  /** A function that looks up its arguments, joined by spaces, among the keys; returns 1 if there is no such key. */
  table(name: string, rows: readonly Row[]): string;
  /** A command that prints the candidates, one per line. */
  print(candidates: readonly Candidate[]): string;
}

/**
 * The command table as shell functions. PATH is the path of a {@link TreeNode}.
 *
 * - `_backhaul_known PATH` and `_backhaul_takes_value PATH FLAG` return only an exit status
 * - `_backhaul_commands PATH` and `_backhaul_flags PATH` print the commands or flags that can follow
 * - `_backhaul_values PATH FLAG` and `_backhaul_arguments PATH INDEX` print the possible values, where known
 * - `_backhaul_takes_file PATH FLAG` returns whether the value is a local file
 */
export function shellTables(nodes: readonly TreeNode[], dialect: Dialect): string {
  const flags = nodes.flatMap((node) =>
    node.flags.flatMap(({ name, value }) =>
      value === undefined ? [] : [{ key: `${node.path} ${name}`, value }],
    ),
  );
  const places = nodes.flatMap((node) =>
    node.arguments.map((value, index) => ({ key: `${node.path} ${index}`, value })),
  );
  const keysOf = (found: typeof flags): string[] => found.map(({ key }) => key);
  const listed = (name: string, keys: readonly string[]): string => dialect.table(name, [[keys, 'true']]);
  const printed = (name: string, list: (node: TreeNode) => readonly Candidate[]): string =>
    dialect.table(
      name,
      nodes.flatMap((node) => (list(node).length === 0 ? [] : [[[node.path], dialect.print(list(node))]])),
    );
  return [
    listed(
      '_backhaul_known',
      nodes.slice(1).map(({ path }) => path),
    ),
    listed('_backhaul_takes_value', keysOf(flags)),
    listed('_backhaul_takes_file', keysOf(flags.filter(({ value }) => value.kind === 'files'))),
    printed('_backhaul_commands', ({ commands }) =>
      commands.map(({ name, summary }) => ({ word: name, summary })),
    ),
    printed('_backhaul_flags', (node) => node.flags.map(({ name, summary }) => ({ word: name, summary }))),
    dialect.table('_backhaul_values', valueRows(flags, dialect)),
    dialect.table('_backhaul_arguments', valueRows(places, dialect)),
  ].join('\n');
}

/** Keys with the same action share a row. */
function valueRows(
  pairs: readonly { readonly key: string; readonly value: Value }[],
  dialect: Dialect,
): Row[] {
  const groups = Map.groupBy(pairs, ({ value }) => action(value, dialect));
  return [...groups].flatMap(([does, same]): Row[] =>
    does === undefined ? [] : [[same.map(({ key }) => key), does]],
  );
}

function action(value: Value, dialect: Dialect): string | undefined {
  switch (value.kind) {
    case 'words':
      return dialect.print(value.words.map((word) => ({ word })));
    case 'clients':
      return '_backhaul_clients';
    case 'uploads':
      return '_backhaul_uploads';
    case 'files':
    case 'unknown':
      return undefined;
    default:
      return value satisfies never;
  }
}
