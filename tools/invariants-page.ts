import { posix } from 'node:path';
import type { NamedTest } from './named-test.ts';

/** A deliberate error in a line of code. */
export interface Mutation {
  /** Replacement of the line; empty if the line is removed. */
  readonly replacement: string;
  readonly test: NamedTest;
}

/** A line that keeps an invariant, or a part of it that occurs once in its file. */
export interface KeepingLine {
  readonly file: string;
  readonly line: string;
  readonly mutations: readonly Mutation[];
}

export interface Invariant {
  readonly number: number;
  readonly title: string;
  readonly keptBy: readonly KeepingLine[];
  /** Tests without a line: no mutation proves that they fail. */
  readonly tests: readonly NamedTest[];
}

const link = String.raw`\[[^\]]+\]\((?<file>[^)]+)\)`;
const keptRow = new RegExp(`^- kept by ${link}: \`(?<line>.+)\`$`);
const mutationRow = new RegExp(
  `^  - (?:\`(?<code>.+)\`|nothing) instead turns red “(?<name>.+)” in ${link}$`,
);
const testRow = new RegExp(`^- red without it: “(?<name>.+)” in ${link}$`);

/**
 * Reads `docs/invariants.md`.
 *
 * @throws Error for a row of another form, which would otherwise be ignored.
 */
export function readInvariants(page: string): readonly Invariant[] {
  return page.split(/^## /m).slice(1).map(readInvariant);
}

function readInvariant(section: string): Invariant {
  const [heading = '', ...lines] = section.split('\n');
  const [, number, title = ''] = /^(\d+)\. (.+)$/.exec(heading) ?? [];
  if (number === undefined) throw new Error(`docs/invariants.md: no number in "## ${heading}"`);
  const keptBy: { file: string; line: string; mutations: Mutation[] }[] = [];
  const tests: NamedTest[] = [];
  for (const row of lines.filter((one) => /^\s*[-*] /.test(one))) {
    const kept = keptRow.exec(row)?.groups;
    const mutation = mutationRow.exec(row)?.groups;
    const test = testRow.exec(row)?.groups;
    if (kept !== undefined) {
      keptBy.push({ file: fromRoot(kept['file']), line: kept['line'] ?? '', mutations: [] });
    } else if (mutation !== undefined && keptBy.length > 0) {
      keptBy.at(-1)?.mutations.push({ replacement: mutation['code'] ?? '', test: namedTest(mutation) });
    } else if (test !== undefined) {
      tests.push(namedTest(test));
    } else {
      throw new Error(`docs/invariants.md: a row of another form in invariant ${number}: ${row}`);
    }
  }
  return { number: Number(number), title, keptBy, tests };
}

function namedTest(groups: Record<string, string | undefined>): NamedTest {
  return { name: groups['name'] ?? '', file: fromRoot(groups['file']) };
}

function fromRoot(linked = ''): string {
  return posix.join('docs', linked);
}
