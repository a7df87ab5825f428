import assert from 'node:assert/strict';
import test from 'node:test';
import { appendFile, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { planParts } from '@backhaul/protocol';
import { BufferPool } from '../file/buffer-pool.ts';
import { openFile } from '../file/open-file.ts';
import { linux } from '../platform/linux.ts';
import { AllowList } from '../policy/allow-list.ts';
import { announceNext, windowParts } from './announce-ahead.ts';
import { PartLedger } from './part-ledger.ts';

const MiB = 1024 * 1024;

test('a window is what the server asked for, unless its parts are huge', () => {
  assert.equal(windowParts(64, 5 * MiB), 64);
  assert.equal(windowParts(8, 5 * MiB), 8);
  assert.equal(windowParts(64, 128 * MiB), 8, 'not more than 1 GiB is hashed before the first PUT');
  assert.equal(windowParts(64, 5120 * MiB), 1, 'but at least one part');
  assert.equal(windowParts(64, 600 * MiB), 1);
});

test('a part of a file that changed while it was hashed is not announced', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'backhaul-announce-'));
  const path = join(directory, 'log');
  await writeFile(path, 'first line\n');
  try {
    const allowList = new AllowList({ directories: [directory], file: null, platform: linux });
    await using file = await openFile(path, { allowList, platform: linux });
    const plan = planParts(file.sizeBytes, { minChunkSize: 5 * MiB, maxParts: 10_000 });
    const ledger = new PartLedger({ plan, now: () => 0, ask: () => true });
    const buffers = new BufferPool(1);
    const announcing = { file, ledger, mode: 'crc32' as const, wholeFile: null, buffers };
    await appendFile(path, 'second line\n');
    const announced = announceNext(announcing, 1, { signal: AbortSignal.timeout(5000) });
    await assert.rejects(announced, { code: 'file_changed' });
    assert.equal(ledger.nextUnread?.number, 1);
    assert.equal(buffers.lent, 0);
  } finally {
    await rm(directory, { recursive: true });
  }
});
