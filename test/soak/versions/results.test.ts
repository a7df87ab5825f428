import assert from 'node:assert/strict';
import test from 'node:test';
import { Results } from './results.ts';

test('where timestamps are trusted, a soak that met no change by them alone has shown nothing', () => {
  const results = new Results({ trustsTimestamps: true });
  results.add('left alone', 'completed');
  results.add('written in place', 'fileChanged');
  assert.deepEqual(results.problems(), ['no change was met by timestamps alone']);
  results.addRestedChange('one');
  results.readTwice = new Set(['one']);
  assert.deepEqual(results.problems(), ['no change was met by timestamps alone']);
  results.addRestedChange('two');
  assert.deepEqual(results.problems(), []);
});
