import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HeldRequests } from './held-requests.ts';

test('requests are limited per subject and in total, and the refusal names the setting', () => {
  const refused: string[] = [];
  const held = new HeldRequests({ heldRequests: 3, heldRequestsPerToken: 2 }, (limit) => refused.push(limit));
  const first = held.hold('one');
  held.hold('one');
  assert.throws(() => held.hold('one'), {
    code: 'too_many_requests',
    message: /MAX_HELD_REQUESTS_PER_TOKEN/,
  });
  held.hold('two');
  assert.throws(() => held.hold('two'), { code: 'too_many_requests', message: /MAX_HELD_REQUESTS\./ });
  assert.equal(held.tryHold('three'), undefined);
  assert.deepEqual(refused, ['held_per_token', 'held_total', 'held_total']);
  first[Symbol.dispose]();
  first[Symbol.dispose]();
  assert.equal(held.size, 2, 'released once');
  held.hold('one');
});

test('0 is no limit', () => {
  const held = new HeldRequests({ heldRequests: 0, heldRequestsPerToken: 0 }, () => assert.fail('refused'));
  for (let count = 0; count < 2000; count += 1) held.hold('one');
  assert.equal(held.size, 2000);
});
