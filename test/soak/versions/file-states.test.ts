import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type FileState, FileStates, offsetOf, stateOf } from './file-states.ts';

const PARTS = 5;

function bytesOf(state: FileState, sizeBytes = offsetOf(state.length, PARTS)): Buffer {
  const bytes = Buffer.alloc(sizeBytes);
  for (const [index, mark] of state.entries()) bytes.writeBigUInt64LE(BigInt(mark), offsetOf(index, PARTS));
  return bytes;
}

async function* inChunks(bytes: Buffer, chunkBytes: number) {
  for (let at = 0; at < bytes.length; at += chunkBytes) yield bytes.subarray(at, at + chunkBytes);
}

test('bytes are the state that was written, however they are cut, appended blocks and none at all included', async () => {
  const whole = Array.from({ length: PARTS + 3 }, (_, index) => index * 1000 + 1);
  for (const state of [whole, whole.slice(0, 2), []]) {
    assert.deepEqual(await stateOf(inChunks(bytesOf(state), 65_531), PARTS), state);
  }
});

test('bytes that no file had are no state: another size, or anything between the marks', async () => {
  const state = [1, 2];
  assert.equal(await stateOf(inChunks(bytesOf(state, offsetOf(2, PARTS) - 1), 65_536), PARTS), undefined);
  const spoiled = bytesOf(state);
  spoiled[100_000] = 1;
  assert.equal(await stateOf(inChunks(spoiled, 65_536), PARTS), undefined);
});

test('a mixture of two states is neither, and a state from before the pull does not count', () => {
  const states = new FileStates([1, 1, 1]);
  states.add([2, 1, 1]);
  states.add([2, 1, 2]);
  const whole = { from: 0, asPrefix: false };
  for (const state of [
    [1, 1, 1],
    [2, 1, 1],
    [2, 1, 2],
  ]) {
    assert.equal(states.includes(state, whole), true);
  }
  assert.equal(states.includes([1, 1, 2], whole), false);
  assert.equal(states.includes([1, 1, 1], { ...whole, from: 1 }), false);
  assert.equal(states.includes([2, 1], whole), false);
  assert.equal(states.includes([2, 1], { ...whole, asPrefix: true }), true);
  assert.equal(states.includes([1, 2], { ...whole, asPrefix: true }), false);
});
