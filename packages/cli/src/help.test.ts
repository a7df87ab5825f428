import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { assertManualPage, exampleCalls } from '../../../test/harness/manual-page.ts';
import { CommanderError } from 'commander';
import { type AnyCommand, type CommandGroup, optionsOf } from './command.ts';
import { commands } from './commands/index.ts';
import { wrapExample, wrapWords } from './help.ts';
import { parseCommandLine } from './program.ts';

const globalFlags = ['--url', '--token', '--insecure', '--ca-file', '--json', '--help'];

const pages = commands.flatMap((entry): [string, AnyCommand | CommandGroup][] => [
  [entry.name, entry],
  ...('commands' in entry
    ? entry.commands.map((inner): [string, AnyCommand] => [`${entry.name} ${inner.name}`, inner])
    : []),
]);

describe('help', () => {
  test('of the program is a manual page that lists the commands', () => {
    const text = helpOf();
    assertManualPage(text, 'backhaul', [...globalFlags, '--version']);
    for (const { name, summary } of commands) {
      assert.match(text, new RegExp(`^    ${name}\\n        ${summary}\\.$`, 'im'));
    }
    parseExamples(text);
  });

  for (const [path, entry] of pages) {
    test(`of ${path} is a manual page with its flags and valid examples`, () => {
      const text = helpOf(...path.split(' '));
      const own = 'commands' in entry ? [] : optionsOf(entry);
      assertManualPage(text, `backhaul ${path}`, [...own.map(({ long }) => long ?? ''), ...globalFlags]);
      const found = parseExamples(text);
      if ('commands' in entry) assert.deepEqual(new Set(found), new Set(entry.commands));
      else
        assert.deepEqual(
          found,
          entry.examples.map(() => entry),
        );
    });
  }

  test('of a command is also printed by "help" and its name', () => {
    assert.equal(printed(['help', 'download']), helpOf('download'));
  });
});

function helpOf(...path: string[]): string {
  return printed([...path, '--help']);
}

function printed(argv: readonly string[]): string {
  let text = '';
  const writeOut = (more: string): void => void (text += more);
  assert.throws(
    () => parseCommandLine(argv, { writeOut, writeErr: () => undefined }),
    (error) => error instanceof CommanderError && error.exitCode === 0,
  );
  return text;
}

/** Parses the examples of a page and returns their commands. */
function parseExamples(text: string): AnyCommand[] {
  const silent = { writeOut: () => undefined, writeErr: () => undefined };
  return exampleCalls(text, 'backhaul').map(({ args }) => parseCommandLine(args, silent).command);
}

test('words are wrapped at the width including the indent; a longer word gets its own line', () => {
  assert.deepEqual(wrapWords('aa bb ccccccc d', '  ', 7), ['  aa bb', '  ccccccc', '  d']);
});

test('an example is continued with a backslash, but not inside quotes or between a flag and its value', () => {
  assert.deepEqual(wrapExample("x --flag value | jq -r '.a | .b'", '  ', 20), [
    '  x --flag value \\',
    '      | jq \\',
    "      -r '.a | .b'",
  ]);
});
