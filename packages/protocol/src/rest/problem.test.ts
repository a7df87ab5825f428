import assert from 'node:assert/strict';
import { test } from 'node:test';
import { BackhaulError } from '../backhaul-error.ts';
import { errorCodes, errorTable } from '../error-table.ts';
import { problemOf, problemSchema } from './problem.ts';

test('every error code has a valid problem with its status and sentence', () => {
  for (const code of errorCodes) {
    const problem = problemOf(new BackhaulError(code, 'Change this.'));
    assert.deepEqual(problemSchema.parse(problem), {
      type: `urn:backhaul:error:${code}`,
      title: errorTable[code].sentence,
      status: errorTable[code].httpStatus,
      code,
      detail: 'Change this.',
    });
  }
});
