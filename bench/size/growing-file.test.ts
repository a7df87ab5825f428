import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { temporaryDirectory } from '../../test/harness/temporary-directory.ts';
import { GrowingFile } from './growing-file.ts';

const MiB = 1024 * 1024;

test('grows to the size, keeps what it has, and no two of its MiB are the same', async () => {
  await using directory = await temporaryDirectory();
  const { signal } = new AbortController();
  const file = new GrowingFile(directory.join('file.bin'));
  await file.growTo(2 * MiB, { signal });
  const first = await readFile(file.path);
  await file.growTo(4 * MiB, { signal });
  const second = await readFile(file.path);
  assert.equal(first.length, 2 * MiB);
  assert.equal(second.length, 4 * MiB);
  assert.ok(second.subarray(0, 2 * MiB).equals(first));
  const blocks = [0, 1, 2, 3].map((at) => second.toString('base64', at * MiB, (at + 1) * MiB));
  assert.equal(new Set(blocks).size, 4);
});
