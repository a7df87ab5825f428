import assert from 'node:assert/strict';
import { test } from 'node:test';
import { wrapExample, wrapWords } from './wrap.ts';

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
