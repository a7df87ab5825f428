import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { ApiError, ConnectionError, parseRetryAfter, readProblem, UnexpectedAnswerError } from './errors.ts';
import { uploadRecord } from '../../../test/harness/upload-record.ts';

const context = { request: 'GET /x', origin: 'http://server' };
const problem = (fields: Record<string, unknown>) => ({
  type: 'urn:backhaul:error:upload_finished',
  title: 'It has ended.',
  status: 409,
  code: 'upload_finished',
  detail: 'The upload completed at noon.',
  ...fields,
});
const response = (status: number, body: unknown, headers: Record<string, string> = {}) =>
  new Response(typeof body === 'string' ? body : JSON.stringify(body), { status, headers });

describe('an error response', () => {
  test('is converted to code, detail, record and retry delay', async () => {
    const record = uploadRecord();
    const error = await readProblem(
      response(409, problem({ upload: record }), { 'retry-after': '7' }),
      context,
    );
    assert.ok(error instanceof ApiError);
    assert.equal(error.code, 'upload_finished');
    assert.equal(error.status, 409);
    assert.equal(error.detail, 'The upload completed at noon.');
    assert.deepEqual(error.upload, record);
    assert.equal(error.retryAfterMs, 7000);
    assert.equal(error.retryable, false);
  });

  test('with a code of a newer server keeps its detail and gets the nearest code', async () => {
    const error = await readProblem(response(403, problem({ code: 'quota_gone', status: 403 })), context);
    assert.ok(error instanceof ApiError);
    assert.equal(error.code, 'forbidden');
    assert.match(error.detail, /completed at noon.*quota_gone/);
  });

  test('of a gateway is a connection error', async () => {
    const error = await readProblem(response(502, '<h1>Bad Gateway</h1>'), context);
    assert.ok(error instanceof ConnectionError);
    assert.match(error.message, /502/);
  });

  test('of another program is an UnexpectedAnswerError', async () => {
    const error = await readProblem(response(404, '<h1>Not here</h1>'), context);
    assert.ok(error instanceof UnexpectedAnswerError);
    assert.equal(error.status, 404);
  });
});

test('Retry-After is parsed as seconds or as a date', () => {
  const now = Date.parse('2025-11-01T10:30:00Z');
  assert.equal(parseRetryAfter('120', now), 120_000);
  assert.equal(parseRetryAfter('Sat, 01 Nov 2025 10:31:00 GMT', now), 60_000);
  assert.equal(parseRetryAfter('Sat, 01 Nov 2025 10:29:00 GMT', now), 0);
  assert.equal(parseRetryAfter('soon', now), undefined);
  assert.equal(parseRetryAfter(null, now), undefined);
});
