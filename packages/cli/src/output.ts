import { styleText } from 'node:util';
import { printable, printableJson } from '@backhaul/protocol';

/** Name used in messages. */
export const STANDARD_OUTPUT = 'standard output';

type Style = Parameters<typeof styleText>[0];

export interface Terminal {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(chunk: string | Uint8Array, callback?: (error?: Error | null) => void): boolean;
}

export interface OutputOptions {
  readonly stdout: Terminal;
  readonly stderr: Terminal;
  readonly json: boolean;
  /** Whether to use colour on a terminal. */
  readonly color: boolean;
}

/** Prints results to standard output, remarks and errors to standard error. */
export class Output {
  readonly stdout: Terminal;
  readonly stderr: Terminal;
  readonly json: boolean;
  readonly #color: boolean;

  constructor({ stdout, stderr, json, color }: OutputOptions) {
    this.stdout = stdout;
    this.stderr = stderr;
    this.json = json;
    this.#color = color;
  }

  line(text: string): void {
    this.stdout.write(`${text}\n`);
  }

  lines(texts: readonly string[]): void {
    for (const text of texts) this.line(text);
  }

  /** One JSON value on one line, safe to show on a terminal. */
  value(value: unknown): void {
    this.stdout.write(`${printableJson(JSON.stringify(value))}\n`);
  }

  /** Prints a remark in addition to the result; suppressed with `--json`. */
  remark(text: string): void {
    if (!this.json) this.stderr.write(`${text}\n`);
  }

  paint(style: Style, text: string, terminal = this.stdout): string {
    return this.#color && terminal.isTTY === true ? styleText(style, text, { validateStream: false }) : text;
  }
}

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
