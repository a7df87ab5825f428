import assert from 'node:assert/strict';
import test from 'node:test';
import { judgeAnswer, judgeNoAnswer, readErrorDocument } from './storage-errors.ts';

function judge(status: number, code = '', message = ''): string {
  const verdict = judgeAnswer({ status, code, message, retryAfterMs: null });
  return verdict.act === 'give_up' ? verdict.code : verdict.act;
}

test('each answer of a store has its consequence', () => {
  const table: Array<[string, ...Parameters<typeof judge>]> = [
    ['retry', 500, 'InternalError'],
    ['retry', 503, 'SlowDown'],
    ['retry', 502],
    ['retry', 504],
    ['retry', 429],
    ['retry', 408],
    ['retry', 409, 'OperationAborted'],
    ['retry', 400, 'RequestTimeout'],
    ['retry', 400, 'IncompleteBody'],
    ['fresh_url', 403, 'AccessDenied', 'Request has expired'],
    ['fresh_url', 403, 'ExpiredToken'],
    ['fresh_url', 400, 'ExpiredToken'],
    ['fresh_url', 403, 'RequestExpired'],
    ['read_again', 400, 'BadDigest'],
    ['read_again', 400, 'XAmzContentSHA256Mismatch'],
    ['storage_refused', 403, 'AccessDenied', 'Access Denied'],
    ['storage_refused', 403, 'SignatureDoesNotMatch', 'expired'],
    ['storage_refused', 403, 'RequestTimeTooSkewed'],
    ['storage_refused', 400, 'InvalidArgument'],
    ['storage_refused', 404, 'NoSuchBucket'],
    ['storage_refused', 301, 'PermanentRedirect'],
    ['storage_refused', 307],
    ['storage_refused', 501, 'NotImplemented'],
    ['upload_gone', 404, 'NoSuchUpload'],
  ];
  for (const [expected, ...answer] of table) assert.equal(judge(...answer), expected, answer.join(' '));
});

test('a reset is free only on a connection that had been used before', () => {
  const error = (code: string) => Object.assign(new Error('x'), { code });
  assert.equal(judgeNoAnswer(error('ECONNRESET'), { reused: true }).act, 'retry_at_once');
  assert.equal(judgeNoAnswer(error('ECONNRESET'), { reused: false }).act, 'retry');
  assert.equal(judgeNoAnswer(error('ETIMEDOUT'), { reused: true }).act, 'retry');
  assert.equal(judgeNoAnswer(error('ENOTFOUND'), { reused: false }).act, 'retry');
  assert.equal(judgeNoAnswer(error('CERT_HAS_EXPIRED'), { reused: false }).act, 'give_up');
  assert.equal(judgeNoAnswer(error('DEPTH_ZERO_SELF_SIGNED_CERT'), { reused: false }).act, 'give_up');
});

test('the error document is read with care, and what a store says besides its code is never shown', () => {
  assert.deepEqual(readErrorDocument('<Error><Code>SlowDown</Code><Message>a b</Message></Error>'), {
    code: 'SlowDown',
    message: 'a b',
  });
  assert.deepEqual(readErrorDocument('<html>502 Bad Gateway</html>'), { code: '', message: '' });
  assert.deepEqual(readErrorDocument('<Code>https://x/?X-Amz-Signature=s</Code>'), { code: '', message: '' });
  const verdict = judgeAnswer({
    status: 403,
    code: 'AccessDenied',
    message: 'https://secret',
    retryAfterMs: null,
  });
  assert.doesNotMatch(verdict.detail, /secret/);
});
