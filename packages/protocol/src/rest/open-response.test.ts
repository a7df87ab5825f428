import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { z } from 'zod';
import { parseResponse } from './open-response.ts';

const schema = z.object({
  status: z.enum(['queued', 'completed']),
  error: z.enum(['cancelled']).nullable(),
  policy: z.enum(['fail', 'restart']).default('fail'),
  mode: z.enum(['crc32']).optional(),
  checks: z.array(z.object({ name: z.enum(['size']), ok: z.boolean() })).max(2),
  attempt: z.int().min(1),
});
const response = { status: 'queued', error: null, checks: [{ name: 'size', ok: true }], attempt: 1 };

describe('a response', () => {
  test('may have other values in every list of values, and other fields, which are dropped', () => {
    const later = {
      status: 'paused',
      error: 'quota_exceeded',
      policy: 'snapshot',
      mode: 'crc64nvme',
      checks: [{ name: 'signature', ok: true }],
      attempt: 1,
    };
    assert.deepEqual(parseResponse(schema, { ...later, kind: 'archive' }).data, later);
  });

  test('keeps defaults, absent fields and null', () => {
    assert.deepEqual(parseResponse(schema, response).data, { ...response, policy: 'fail' });
  });

  test('is refused if a value has another type, a number is out of range, or a field is missing', () => {
    const { status: _status, ...withoutStatus } = response;
    const check = { name: 'size', ok: true };
    for (const wrong of [
      { ...response, status: 7 },
      { ...response, error: false },
      { ...response, attempt: 0 },
      { ...response, checks: [check, check, check] },
      withoutStatus,
    ]) {
      assert.ok(!parseResponse(schema, wrong).success, JSON.stringify(wrong));
    }
  });

  test('does not open the schema itself, which says what this version sends', () => {
    parseResponse(schema, response);
    assert.ok(!schema.safeParse({ ...response, status: 'paused' }).success);
  });
});
