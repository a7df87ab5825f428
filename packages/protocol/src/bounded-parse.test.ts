import assert from 'node:assert/strict';
import { test } from 'node:test';
import { z } from 'zod';
import { boundedParse } from './bounded-parse.ts';

test('a long list is validated up to its first invalid element', () => {
  let calls = 0;
  const element = z.object({ n: z.number().refine(() => (calls += 1) > 0) });
  const schema = z.object({ outer: z.object({ list: z.array(element).max(10_000) }).optional() });
  const list = Array.from({ length: 10_000 }, (_, index) => ({ n: index < 100 ? index : 'x' }));
  const parsed = boundedParse(schema, { outer: { list } });
  assert.ok(!parsed.success);
  assert.equal(parsed.error.issues.length, 1);
  assert.deepEqual(parsed.error.issues[0]?.path, ['outer', 'list', 100, 'n']);
  assert.equal(calls, 100);
});

test('a list that is too long is refused without validating its elements', () => {
  const schema = z.object({ list: z.array(z.number().refine(() => assert.fail('looked at'))).max(100) });
  const parsed = boundedParse(schema, { list: Array.from({ length: 101 }, () => 1) });
  assert.ok(!parsed.success);
  assert.equal(parsed.error.issues[0]?.code, 'too_big');
});

test('valid values are returned as parsed by zod', () => {
  const schema = z.object({ list: z.array(z.object({ n: z.number().default(7) })), name: z.string() });
  const list = Array.from({ length: 1000 }, () => ({ dropped: true }));
  assert.deepEqual(boundedParse(schema, { list, name: 'a' }), {
    success: true,
    data: { list: list.map(() => ({ n: 7 })), name: 'a' },
  });
});
