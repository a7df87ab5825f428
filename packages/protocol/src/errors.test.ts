import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { describe, test } from 'node:test';
import { BackhaulError, errorCodes, errorTable, isErrorCode, problemOf, problemSchema } from './errors.ts';

describe('the error table', () => {
  for (const code of errorCodes) {
    test(`${code} has a sentence and a valid status`, () => {
      const { httpStatus, retryable, kind, sentence } = errorTable[code];
      assert.match(code, /^[a-z]+(_[a-z]+)*$/);
      assert.ok(code.length <= 64, 'fits into the field `error` of a message');
      assert.ok(Number.isInteger(httpStatus) && httpStatus >= 400 && httpStatus <= 599);
      assert.match(sentence, /^[A-Z].*\.$/);
      assert.doesNotMatch(sentence, /[|\n]/, 'fits into a cell of a table');
      if (kind === 'temporary') assert.ok(retryable, 'temporary means that trying again can help');
      if (kind === 'not_authorised' || kind === 'refused_by_agent') {
        assert.ok(!retryable, 'nothing changes until a person changes it');
      }
    });
  }

  test('has unique sentences', () => {
    const sentences = errorCodes.map((code) => errorTable[code].sentence);
    assert.equal(new Set(sentences).size, sentences.length);
  });

  test('has the documented codes of the API', () => {
    for (const code of [
      'client_not_found',
      'client_offline',
      'file_not_found',
      'path_not_allowed',
      'permission_denied',
      'not_a_file',
      'file_changed',
      'file_too_large',
      'checksum_mismatch',
      'storage_unavailable',
      'upload_expired',
      'cancelled',
      'unauthorized',
      'forbidden',
      'invalid_request',
      'idempotency_conflict',
      'too_many_requests',
    ]) {
      assert.ok(isErrorCode(code), code);
    }
  });

  test('does not accept inherited properties as codes', () => {
    for (const name of ['constructor', '__proto__', 'toString', '']) assert.equal(isErrorCode(name), false);
  });

  test('is documented, code by code, with status and sentence', async () => {
    const document = await readFile(new URL('../../../docs/errors.md', import.meta.url), 'utf8');
    for (const code of errorCodes) {
      const line = document.split('\n').find((row) => row.startsWith(`| \`${code}\``));
      assert.ok(line !== undefined, `${code} is in docs/errors.md`);
      assert.ok(
        line.includes(` ${errorTable[code].httpStatus} `),
        `docs/errors.md has the status of ${code}`,
      );
      assert.ok(line.includes(errorTable[code].sentence), `docs/errors.md says what ${code} is`);
    }
  });
});

describe('BackhaulError', () => {
  test('has the sentence of its code as default message', () => {
    assert.equal(new BackhaulError('cancelled').message, errorTable.cancelled.sentence);
    const cause = new Error('ENOENT');
    const error = new BackhaulError('file_not_found', 'There is no /data/x.', { cause });
    assert.equal(error.message, 'There is no /data/x.');
    assert.equal(error.code, 'file_not_found');
    assert.equal(error.cause, cause);
    assert.equal(error.name, 'BackhaulError');
  });
});

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
