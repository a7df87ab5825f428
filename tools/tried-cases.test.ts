import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join, posix } from 'node:path';
import { describe, test } from 'node:test';
import { hasTest, type NamedTest } from './named-test.ts';

const root = join(import.meta.dirname, '..');
const read = (file: string): string => readFileSync(join(root, file), 'utf8');

/** Pages with a table of tested cases, and the cases that the table must have. */
const pages = [
  {
    page: 'SECURITY.md',
    heading: 'Attacks that were tried',
    cases: [...numbered('S', 13), 'Smaller', 'Held'],
  },
  {
    page: 'docs/reliability.md',
    heading: 'Cases from trials',
    cases: [
      ...numbered('C', 10),
      'C11',
      'C12',
      'C13',
      'C14',
      'C15',
      'C16',
      'C17',
      ...numbered('T', 14),
      'U1',
      'U2',
      'U3',
      'U4',
      'U5',
      'U6',
      'U7',
      'U8',
      'U9',
      'U10',
      'U11',
      'U12',
      'U13',
      'U14',
      'U15',
      'U16',
      'U17',
      'U18',
    ],
  },
] as const;

const namesOfOneFile = /^\[[^\]]+\]\((?<file>[^)]+)\): (?<names>"[^"]+"(?:, "[^"]+")*)$/;

for (const { page, heading, cases } of pages) {
  const text = read(page);
  const [header = [], , ...rows] = readTable(text, heading);

  describe(`${page}, “${heading}”`, () => {
    test('is one table, in order, with every case and no row twice', () => {
      assert.deepEqual(header, ['case', 'behaviour now', 'test']);
      const order = rows.map(([name = '']) => name).filter((name, index, all) => name !== all[index - 1]);
      assert.deepEqual(order, cases);
      assert.deepEqual(repeated(rows.map(([name, holds]) => `${name}: ${holds}`)), []);
      assert.deepEqual(repeated(rows.map(([name, , tests]) => `${name}: ${tests}`)), []);
    });

    for (const { file, name } of rows.flatMap(([, , tests = '']) => readTests(page, tests))) {
      test(`${file} has the test “${name}”`, () => {
        assert.ok(existsSync(join(root, file)), 'there is no such file');
        assert.ok(hasTest(read(file), name));
      });
    }
  });
}

for (const page of ['SECURITY.md', 'docs/reliability.md', 'docs/monitoring.md']) {
  test(`${page} has no heading and no paragraph twice`, () => {
    const text = read(page);
    assert.deepEqual(repeated(text.match(/^#+ .+$/gm) ?? []), []);
    assert.deepEqual(repeated(text.match(/^\*\*[^*]+\*\*/gm) ?? []), [], 'first words of a paragraph');
    assert.doesNotMatch(text, /\n\n\n/, 'empty lines');
  });
}

test('in a version of CHANGELOG.md no section and no entry occurs twice', () => {
  for (const version of read('CHANGELOG.md').split(/^## /m).slice(1)) {
    const [name = '', ...sections] = version.split(/^### /m);
    assert.deepEqual(repeated(sections.map((section) => section.split('\n', 1)[0] ?? '')), [], name);
    // Entries are compared by the beginning of their first line, so that an edited copy is found as well.
    const entries = sections.flatMap((section) => section.match(/^- .{1,50}/gm) ?? []);
    assert.deepEqual(repeated(entries), [], name);
    for (const section of sections) {
      const [, ...list] = section.trim().split('\n');
      assert.doesNotMatch(
        list.join('\n').trim(),
        /\n\n/,
        `an empty line in ### ${section.split('\n', 1)[0]}`,
      );
    }
  }
});

function numbered(letter: string, count: number): string[] {
  return Array.from({ length: count }, (_, index) => `${letter}${index + 1}`);
}

/** The cells of the only table under a heading. */
function readTable(page: string, heading: string): readonly (readonly string[])[] {
  const [, ...sections] = page.split(`\n## ${heading}\n`);
  assert.equal(sections.length, 1, `“## ${heading}” occurs once`);
  const lines = sections[0]?.split(/^## /m)[0]?.split('\n') ?? [];
  return lines
    .filter((line) => line.startsWith('|'))
    .map((line) =>
      line
        .split('|')
        .slice(1, -1)
        .map((cell) => cell.trim()),
    );
}

function readTests(page: string, cell: string): readonly NamedTest[] {
  return cell.split(/; (?=\[)/).flatMap((part) => {
    const { file = '', names = '' } = namesOfOneFile.exec(part)?.groups ?? {};
    assert.notEqual(names, '', `${page}: a test is not named as [file](path): "name": ${part}`);
    return [...names.matchAll(/"([^"]+)"/g)].map(([, name = '']) => ({
      name,
      file: posix.join(posix.dirname(page), file),
    }));
  });
}

function repeated(texts: readonly string[]): readonly string[] {
  return texts.filter((text, index) => texts.indexOf(text) !== index);
}
