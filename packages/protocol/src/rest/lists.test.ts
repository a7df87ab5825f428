import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { clientListQuerySchema } from './clients.ts';
import { uploadListQuerySchema } from './uploads.ts';

describe('the query of a list', () => {
  test('is parsed from text to numbers; the default limit is 50', () => {
    assert.deepEqual(uploadListQuerySchema.parse({}), { limit: 50 });
    assert.equal(uploadListQuerySchema.parse({ limit: '500' }).limit, 500);
    for (const limit of ['0', '501', '1.5', 'all', '-1', '']) {
      assert.ok(!uploadListQuerySchema.safeParse({ limit }).success, limit);
    }
  });

  test('refuses unknown filters, so that a typo does not list everything', () => {
    assert.ok(!uploadListQuerySchema.safeParse({ client: 'restaurant-1' }).success);
    assert.ok(!clientListQuerySchema.safeParse({ status: 'connected' }).success);
  });

  test('accepts a label as name=value, whose value may contain =', () => {
    for (const label of ['site=berlin', 'site=', 'site=a=b']) {
      assert.ok(clientListQuerySchema.safeParse({ label }).success, label);
    }
    for (const label of ['site', '=berlin', '']) {
      assert.ok(!clientListQuerySchema.safeParse({ label }).success, label);
    }
  });
});
