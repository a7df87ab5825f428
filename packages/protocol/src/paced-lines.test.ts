import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PacedLines } from './paced-lines.ts';

test('the first line is shown at once, then the last of each second with the number of suppressed lines', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const shown: [string, number][] = [];
  const lines = new PacedLines<string>((line, suppressed) => shown.push([line, suppressed]));
  for (const line of ['a', 'b', 'c', 'd']) lines.write(line);
  assert.deepEqual(shown, [['a', 0]]);
  t.mock.timers.tick(1000);
  assert.deepEqual(shown.splice(0), [
    ['a', 0],
    ['d', 2],
  ]);
  lines.write('e');
  t.mock.timers.tick(1000);
  t.mock.timers.tick(1000);
  lines.write('f');
  lines.write('g');
  lines.close();
  assert.deepEqual(shown, [
    ['e', 0],
    ['f', 0],
    ['g', 0],
  ]);
});
