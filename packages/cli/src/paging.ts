import { InvalidArgumentError, Option } from 'commander';
import type { Context } from './command.ts';

/** Most records that the server returns in one page. */
const MAX_PAGE = 500;

/** Values of {@link pagingOptions}. */
export interface PagingOptions {
  readonly limit?: number;
  readonly cursor?: string;
  readonly all?: boolean;
}

export const pagingOptions = () => [
  new Option('--limit <n>', 'records per page, 1 to 500 (default: 50)').argParser(parseLimit),
  new Option('--cursor <cursor>', 'start after a page: its next_cursor (see --json)').conflicts('all'),
  new Option('--all', 'fetch all pages'),
];

export function parseLimit(text: string): number {
  const limit = /^\d{1,3}$/.test(text) ? Number(text) : 0;
  if (limit >= 1 && limit <= MAX_PAGE) return limit;
  throw new InvalidArgumentError('A limit is a whole number from 1 to 500; for more, use --all.');
}

export interface List<Name extends string, Row> {
  /** Name of the rows in a page. */
  readonly name: Name;
  readonly fetch: (range: {
    readonly limit: number | undefined;
    readonly cursor: string | undefined;
  }) => Promise<Readonly<Record<Name, readonly Row[]>> & { readonly next_cursor: string | null }>;
  readonly table: (rows: readonly Row[]) => readonly string[];
}

/** Prints one page of a list, or with --all all pages, as a table or as one JSON object. */
export async function printList<Name extends string, Row>(
  { output }: Context,
  { limit, cursor, all = false }: PagingOptions,
  { name, fetch, table }: List<Name, Row>,
): Promise<void> {
  const rows: Row[] = [];
  let next = cursor;
  for (;;) {
    const page = await fetch({ limit: limit ?? (all ? MAX_PAGE : undefined), cursor: next });
    rows.push(...page[name]);
    next = page.next_cursor ?? undefined;
    if (!all || next === undefined) break;
  }
  if (output.json) {
    output.value({ [name]: rows, next_cursor: next ?? null });
    return;
  }
  output.lines(table(rows));
  if (next !== undefined) output.remark('More results: use --all or a larger --limit.');
}
