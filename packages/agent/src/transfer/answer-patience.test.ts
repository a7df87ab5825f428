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

test('prompt answers after an outage bring it back to where it began, and not below', () => {
  const patience = new AnswerPatience({ firstMs: 45, maxMs: 1000 });
  for (const waitedMs of [45, 90, 180]) patience.wasNotEnough(waitedMs);
  assert.equal(patience.ms, 360);
  for (const expectedMs of [180, 90, 45, 45]) {
    patience.wasEnough(1);
    assert.equal(patience.ms, expectedMs);
  }
});

test('answers over a slow line keep it long', () => {
  const patience = new AnswerPatience({ firstMs: 45, maxMs: 1000 });
  patience.wasNotEnough(45);
  for (let answer = 0; answer < 9; answer += 1) patience.wasEnough(80);
  assert.equal(patience.ms, 160);
  patience.wasEnough(800);
  assert.equal(patience.ms, 1000);
});
