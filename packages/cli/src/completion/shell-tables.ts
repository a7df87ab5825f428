import type { TreeNode, Value } from './completion-tree.ts';

/** One thing to offer; a summary is shown beside it where the shell can. */
export interface Candidate {
  readonly word: string;
  readonly summary?: string;
}

export type Row = readonly [keys: readonly string[], action: string];

/** How a shell writes the tables. */
export interface Dialect {
  /** A function that looks its arguments, joined by spaces, up among the keys; returns 1 if they are not there. */
  table(name: string, rows: readonly Row[]): string;
  /** A command that prints these, one on a line. */
  print(candidates: readonly Candidate[]): string;
}

/**
 * The command table as functions of a shell. PATH is what {@link TreeNode} has.
 *
 * - `_backhaul_known PATH` and `_backhaul_takes_value PATH FLAG` only return whether it is so
 * - `_backhaul_commands PATH` and `_backhaul_flags PATH` print what can follow
 * - `_backhaul_values PATH FLAG` and `_backhaul_arguments PATH INDEX` print what can stand there, where that is known
 * - `_backhaul_takes_file PATH FLAG` returns whether the value is a file of this machine
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

/** Keys that do the same share a row. */
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
