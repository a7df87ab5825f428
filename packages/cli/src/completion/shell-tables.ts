import type { TreeNode, Value } from './completion-tree.ts';

/** One completion; shells that can show the summary next to it. */
export interface Candidate {
  readonly word: string;
  readonly summary?: string;
}

export type Row = readonly [keys: readonly string[], action: string];

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
