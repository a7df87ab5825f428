import assert from 'node:assert/strict';
import { readdir, writeFile } from 'node:fs/promises';
import { test } from 'node:test';
import { temporaryDirectory } from '../../test/harness/temporary-directory.ts';
import type { Machine } from './machine.ts';
import { readResults, type Result, saveResult } from './results.ts';

function result(name: string, revision: string): Result {
  const machine: Machine = {
    cpu: 'A processor',
    cores: 2,
    memoryBytes: 1e9,
    os: 'An OS',
    kernel: 'A kernel',
    node: 'v24.0.0',
    commit: { revision, dirty: false },
    peers: { curl: '8.0.0' },
    measuredAt: '2026-01-02T03:04:05.000Z',
  };
  const measurement = { quantity: 'throughput', unit: 'MB/s', subject: 'Backhaul', samples: [1.5] };
  const findings = { measurements: [measurement], requirements: [], notes: [] };
  return { name, title: 'A title', about: 'About.', machine, findings };
}

test('an experiment that is run again replaces its own result and no other', async () => {
  await using directory = await temporaryDirectory();
  const file = directory.join('benchmarks', 'results.json');
  assert.deepEqual(await readResults(file), []);
  const order = ['first', 'second'];
  for (const fresh of [result('second', 'a'), result('first', 'a'), result('second', 'b')]) {
    await saveResult(file, fresh, order);
  }
  assert.deepEqual(await readResults(file), [result('first', 'a'), result('second', 'b')]);
  assert.deepEqual(await readdir(directory.join('benchmarks')), ['results.json']);
});

test('the result of an experiment that there is no longer is dropped', async () => {
  await using directory = await temporaryDirectory();
  const file = directory.join('results.json');
  await saveResult(file, result('gone', 'a'), ['gone']);
  await saveResult(file, result('new', 'a'), ['new']);
  assert.deepEqual(await readResults(file), [result('new', 'a')]);
});

test('a file that holds anything else is named, and left as it is', async () => {
  await using directory = await temporaryDirectory();
  const file = directory.join('results.json');
  for (const text of ['', '{', '[]', '{"experiments":[{"name":"x"}]}', '{"experiments":[],"more":1}']) {
    await writeFile(file, text);
    await assert.rejects(saveResult(file, result('new', 'a'), ['new']), (error: Error) =>
      error.message.startsWith(`${file} holds no results`),
    );
  }
});
