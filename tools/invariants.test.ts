import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { readInvariants } from './invariants-page.ts';
import { hasTest, type NamedTest } from './named-test.ts';

const root = join(import.meta.dirname, '..');
const read = (file: string): string => readFileSync(join(root, file), 'utf8');
const invariants = readInvariants(read('docs/invariants.md'));

/** Invariants about a flow of bytes, and about secrets in general, have no single line of code to break. */
const notFullyProven = new Set([7, 9]);

test('there are ten invariants', () => {
  assert.deepEqual(
    invariants.map(({ number }) => number),
    Array.from({ length: 10 }, (_, index) => index + 1),
  );
});

for (const { number, title, keptBy, tests } of invariants) {
  describe(`invariant ${number}, ${title}`, () => {
    test('names a line that keeps it', () => {
      assert.notEqual(keptBy.length, 0);
    });

    if (!notFullyProven.has(number)) {
      test('has a mutation for each line, with the test that fails then', () => {
        assert.deepEqual(
          keptBy.filter(({ mutations }) => mutations.length === 0),
          [],
        );
        assert.deepEqual(tests, [], 'tests belong below the line whose mutation they detect');
      });
    } else {
      test('names a test', () => {
        assert.notEqual(tests.length, 0);
      });
    }

    for (const { file, line, mutations } of keptBy) {
      test(`${file} has the line ${line} once`, () => {
        assert.equal(read(file).split(line).length - 1, 1);
      });
      for (const { replacement, test: named } of mutations) {
        test(`${line} is broken by ${replacement}`, () => assert.notEqual(replacement, line));
        checkThatThereIs(named);
      }
    }
    for (const named of tests) checkThatThereIs(named);
  });
}

function checkThatThereIs({ name, file }: NamedTest): void {
  test(`${file} has the test “${name}”`, () => {
    assert.ok(hasTest(read(file), name));
  });
}
