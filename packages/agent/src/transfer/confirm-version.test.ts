import assert from 'node:assert/strict';
import test from 'node:test';
import { crc32 } from 'node:zlib';
import { BackhaulError, type ChangePolicy, planParts } from '@backhaul/protocol';
import type { Range } from '../file/read-slices.ts';
import { crc32Base64 } from '../file/crc32-base64.ts';
import { confirmVersion } from './confirm-version.ts';
import { PartLedger } from './part-ledger.ts';

/** @param ctimes What each look at the file finds; the last one stays. */
async function confirm(
  ctimes: readonly string[],
  { content = 0, onChange = 'fail' }: { content?: number; onChange?: ChangePolicy } = {},
): Promise<number> {
  const fingerprint = { device: '1', inode: '1', size: '3', mtime_ns: '1', ctime_ns: '1' };
  const plan = planParts(3, { minChunkSize: 5 * 1024 * 1024, maxParts: 10_000 });
  const ledger = new PartLedger({ plan, now: () => 0, ask: () => true });
  ledger.announce({ crc32: crc32Base64(0xff41d912) }); // of three zero bytes
  let looks = 0;
  let readings = 0;
  const file = {
    fingerprint,
    onChange,
    assertUnchanged: async () => ({ ...fingerprint, ctime_ns: ctimes[looks++] ?? ctimes.at(-1) ?? '1' }),
    contentChanged: () => new BackhaulError('file_changed'),
  };
  const hasher = {
    hashPart: async ({ length }: Range) => {
      readings += 1;
      return { crc32: crc32Base64(crc32(Buffer.alloc(length, content))) };
    },
  };
  const signal = AbortSignal.timeout(5000);
  await confirmVersion({ file, ledger, hasher }, { signal });
  return readings;
}

test('a file whose ctime stayed is not read again', async () => {
  assert.equal(await confirm(['1']), 0);
});

test('a moved ctime is settled by reading the file, once more for each time that it moves meanwhile', async () => {
  assert.equal(await confirm(['2']), 1);
  assert.equal(await confirm(['2', '3']), 2);
});

test('other bytes, or a ctime that never rests, are another version', async () => {
  await assert.rejects(confirm(['2'], { content: 7 }), { code: 'file_changed' });
  await assert.rejects(confirm(['2', '3', '4', '5', '6']), { code: 'file_changed' });
});

test('a file that is appended to all the time is read once more, and its prefix has to be the same', async () => {
  const ctimes = ['2', '3', '4', '5', '6'];
  assert.equal(await confirm(ctimes, { onChange: 'prefix' }), 1);
  await assert.rejects(confirm(ctimes, { onChange: 'prefix', content: 7 }), { code: 'file_changed' });
});
