import assert from 'node:assert/strict';

const WIDTH = 80;
const sections = [
  ...(['NAME', 'SYNOPSIS', 'DESCRIPTION', 'COMMANDS', 'OPTIONS', 'ENVIRONMENT'] as const),
  ...(['EXIT STATUS', 'FILES', 'EXAMPLES'] as const),
];
const optional: ReadonlySet<string> = new Set(['COMMANDS', 'ENVIRONMENT', 'FILES']);

/** One call of a program in the EXAMPLES of its manual page. */
export interface ExampleCall {
  readonly args: readonly string[];
  /** Environment variables set before the command. */
  readonly env: Readonly<Record<string, string>>;
}

/**
 * Asserts that a help text is a manual page for 80 columns and that its OPTIONS name exactly these flags.
 *
 * @param flags Names with their dashes.
 */
export function assertManualPage(text: string, name: string, flags: readonly string[]): void {
  for (const line of text.split('\n')) {
    assert.ok(line.length <= WIDTH, `longer than ${WIDTH}: ${line}`);
    assert.equal(line, line.trimEnd());
  }
  const found = [...text.matchAll(/^[A-Z].*$/gm)].map(([heading]) => heading);
  const expected = sections.filter((section) => found.includes(section) || !optional.has(section));
  assert.deepEqual(found, expected);
  for (const section of found) assert.notEqual(sectionOf(text, section), '', `${section} is empty`);
  assert.match(sectionOf(text, 'NAME'), new RegExp(`^    ${name} - [^.\\n]+$`));
  assert.match(sectionOf(text, 'SYNOPSIS'), new RegExp(`^    ${name}\\b`));
  assert.deepEqual(optionsIn(text).toSorted(), [...flags].toSorted());
}

/** Returns the calls of a program in the EXAMPLES; fails if there are none. */
export function exampleCalls(text: string, program: string): ExampleCall[] {
  const joined = sectionOf(text, 'EXAMPLES').replaceAll(/ *\\\n +/g, ' ');
  const calls = joined.split('\n').flatMap((line) => callIn(line.trim(), program));
  assert.notEqual(calls.length, 0, `no example calls ${program}`);
  return calls;
}

function sectionOf(text: string, section: string): string {
  return new RegExp(`^${section}\\n((?:    .*\\n|\\n)*)`, 'm').exec(text)?.[1]?.trimEnd() ?? '';
}

function optionsIn(text: string): string[] {
  const terms = [...sectionOf(text, 'OPTIONS').matchAll(/^ {4}(-\S.*)$/gm)];
  return terms.flatMap(([, term = '']) => [...term.matchAll(/(?<=^|, )--[a-z0-9-]+/g)].map(([flag]) => flag));
}

/** A shell word (adjacent quoted, substituted or plain pieces), or one of `|` and `>`. */
const word = /(?:"(?:[^"\\]|\\.)*"|'[^']*'|\$\([^)]*\)|[^\s"'|>])+|[|>]/g;

function callIn(line: string, program: string): ExampleCall[] {
  const inner = new RegExp(`[$<]\\((${program} [^)]*)\\)`).exec(line)?.[1];
  if (inner !== undefined) return callIn(inner, program);
  const words = [...line.matchAll(word)].map(([text]) => text);
  const end = words.findIndex((text) => text === '|' || text === '>');
  const command = end === -1 ? words : words.slice(0, end);
  const at = command.indexOf(program);
  const before = command.slice(0, at).map((text) => /^([A-Z0-9_]+)=(.*)$/.exec(text));
  if (at === -1 || before.includes(null)) return [];
  const env = before.flatMap((match) => (match === null ? [] : [[match[1], unquoted(match[2] ?? '')]]));
  return [{ args: command.slice(at + 1).map(unquoted), env: Object.fromEntries(env) }];
}

function unquoted(text: string): string {
  return text.replaceAll(
    /"((?:[^"\\]|\\.)*)"|'([^']*)'/g,
    (_, double: string, single: string) => double ?? single,
  );
}
