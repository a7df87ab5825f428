import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AnswerPatience } from './answer-patience.ts';

test('patience doubles with each answer that did not come in time, up to its bound', () => {
  const patience = new AnswerPatience({ firstMs: 45, maxMs: 100 });
  assert.equal(patience.ms, 45);
  patience.wasNotEnough(45);
  assert.equal(patience.ms, 90);
  patience.wasNotEnough(90);
  assert.equal(patience.ms, 100);
});

test('several PUTs that ran out together double it once', () => {
  const patience = new AnswerPatience({ firstMs: 45, maxMs: 1000 });
  for (let put = 0; put < 4; put += 1) patience.wasNotEnough(45);
  assert.equal(patience.ms, 90);
});
