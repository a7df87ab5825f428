import { styleText } from 'node:util';
import { printableJson } from '@backhaul/protocol';

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
