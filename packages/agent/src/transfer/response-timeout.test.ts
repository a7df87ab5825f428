import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ResponseTimeout } from './response-timeout.ts';

test('the timeout doubles with each missing response, up to its maximum', () => {
  const responseTimeout = new ResponseTimeout({ firstMs: 45, maxMs: 100 });
  assert.equal(responseTimeout.ms, 45);
  responseTimeout.increase(45);
  assert.equal(responseTimeout.ms, 90);
  responseTimeout.increase(90);
  assert.equal(responseTimeout.ms, 100);
});

test('several PUTs that expire together double it once', () => {
  const responseTimeout = new ResponseTimeout({ firstMs: 45, maxMs: 1000 });
  for (let put = 0; put < 4; put += 1) responseTimeout.increase(45);
  assert.equal(responseTimeout.ms, 90);
});

test('fast responses after an outage reduce it to the initial value, not below', () => {
  const responseTimeout = new ResponseTimeout({ firstMs: 45, maxMs: 1000 });
  for (const waitedMs of [45, 90, 180]) responseTimeout.increase(waitedMs);
  assert.equal(responseTimeout.ms, 360);
  for (const expectedMs of [180, 90, 45, 45]) {
    responseTimeout.observe(1);
    assert.equal(responseTimeout.ms, expectedMs);
  }
});

test('responses on a slow network keep it long', () => {
  const responseTimeout = new ResponseTimeout({ firstMs: 45, maxMs: 1000 });
  responseTimeout.increase(45);
  for (let count = 0; count < 9; count += 1) responseTimeout.observe(80);
  assert.equal(responseTimeout.ms, 160);
  responseTimeout.observe(800);
  assert.equal(responseTimeout.ms, 1000);
});
