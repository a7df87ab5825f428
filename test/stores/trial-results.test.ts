import assert from 'node:assert/strict';
import { test } from 'node:test';
import { renderTrials } from './trial-results.ts';

test('the table has a column for each store, and a note for each detail', () => {
  const lines = renderTrials(
    new Map([
      [
        'one 1.0',
        [
          { name: 'start', outcome: 'ok', detail: '' },
          { name: 'doctor', outcome: 'failed', detail: 'advises what it has done' },
        ],
      ],
      ['other 2.0', [{ name: 'start', outcome: 'refused', detail: 'No metadata.' }]],
    ]),
  ).split('\n');
  assert.equal(lines[0], '|  | one 1.0 | other 2.0 |');
  assert.ok(lines.includes('| start | ok | refused (1) |'), lines.join('\n'));
  assert.ok(lines.includes('| doctor | failed (2) | – |'));
  assert.deepEqual(lines.slice(-2), [
    '1. other 2.0, start: No metadata.',
    '2. one 1.0, doctor: advises what it has done',
  ]);
});
