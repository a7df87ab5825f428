import { printable } from '@backhaul/protocol';

export interface Column<Row> {
  readonly title: string;
  readonly align?: 'left' | 'right';
  readonly value: (row: Row) => string;
  /** Adds colour, which has no width on the screen. */
  readonly paint?: (padded: string, row: Row) => string;
}

/** Formats rows below their titles, columns two spaces apart. Values are made safe to print. */
export function renderTable<Row>(rows: readonly Row[], columns: readonly Column<Row>[]): string[] {
  const cells = rows.map((row) => columns.map((column) => printable(column.value(row))));
  const widths = columns.map((column, at) =>
    Math.max(column.title.length, ...cells.map((texts) => texts[at]?.length ?? 0)),
  );
  const pad = (text: string, at: number): string =>
    columns[at]?.align === 'right' ? text.padStart(widths[at] ?? 0) : text.padEnd(widths[at] ?? 0);
  const lines = rows.map((row, index) =>
    columns
      .map((column, at) => {
        const padded = pad(cells[index]?.[at] ?? '', at);
        return column.paint?.(padded, row) ?? padded;
      })
      .join('  ')
      .trimEnd(),
  );
  return [
    columns
      .map((column, at) => pad(column.title, at))
      .join('  ')
      .trimEnd(),
    ...lines,
  ];
}

/** Formats `name  value` lines with aligned values. */
export function renderFields(fields: readonly (readonly [name: string, value: string])[]): string[] {
  const width = Math.max(...fields.map(([name]) => name.length));
  return fields.map(([name, value]) => `${name.padEnd(width)}  ${printable(value)}`.trimEnd());
}
