import assert from 'node:assert/strict';
import { once } from 'node:events';
import { test } from 'node:test';
import { Deadline } from './deadline.ts';

test('a deadline that passes is expired', async () => {
  using deadline = new Deadline(1);
  await once(deadline.signal, 'abort');
  assert.ok(deadline.expired);
});

test('the parent aborts it with its own reason', () => {
  const parent = new AbortController();
  using deadline = new Deadline(60_000, parent.signal);
  const reason = new Error('enough');
  parent.abort(reason);
  assert.equal(deadline.signal.reason, reason);
  assert.ok(!deadline.expired);
});

test('extend restarts the timer, suspend stops it', (context) => {
  context.mock.timers.enable({ apis: ['setTimeout'] });
  using deadline = new Deadline(100);
  context.mock.timers.tick(90);
  deadline.extend();
  context.mock.timers.tick(90);
  assert.ok(!deadline.signal.aborted);
  deadline.suspend();
  context.mock.timers.tick(1000);
  assert.ok(!deadline.signal.aborted);
  deadline.extend();
  context.mock.timers.tick(100);
  assert.ok(deadline.expired);
});

test('a disposed deadline does not abort', (context) => {
  context.mock.timers.enable({ apis: ['setTimeout'] });
  const parent = new AbortController();
  const deadline = new Deadline(100, parent.signal);
  deadline[Symbol.dispose]();
  context.mock.timers.tick(1000);
  parent.abort();
  assert.ok(!deadline.signal.aborted);
});
