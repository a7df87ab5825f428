import assert from 'node:assert/strict';
import { test } from 'node:test';
import { signingKeyOf } from './sigv4.ts';

const CREDENTIALS = { accessKey: 'id', secretKey: 'secret', region: 'us-east-1' };

test('each day has its own key, regardless of the previous day', () => {
  const keys = ['20261125', '20261126', '20261126', '20261125'].map((date) => {
    const key = signingKeyOf(CREDENTIALS, date);
    // Nothing is cached for new credentials.
    assert.ok(key.equals(signingKeyOf({ ...CREDENTIALS }, date)), date);
    return key.export().toString('hex');
  });
  assert.equal(new Set(keys).size, 2);
});
