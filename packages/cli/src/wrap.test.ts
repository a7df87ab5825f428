import assert from 'node:assert/strict';
import { test } from 'node:test';
import { wrapExample, wrapWords } from './wrap.ts';

test('words are wrapped at the width, indent included, and a longer word stands alone', () => {
  assert.deepEqual(wrapWords('aa bb ccccccc d', '  ', 7), ['  aa bb', '  ccccccc', '  d']);
});

test('an example is continued by a backslash, not inside of quotes nor between a flag and its value', () => {
  assert.deepEqual(wrapExample("x --flag value | jq -r '.a | .b'", '  ', 20), [
    '  x --flag value \\',
    '      | jq \\',
    "      -r '.a | .b'",
  ]);
});
