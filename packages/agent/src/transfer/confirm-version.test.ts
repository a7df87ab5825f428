import assert from 'node:assert/strict';
import test from 'node:test';
import { crc32 } from 'node:zlib';
import { BackhaulError, type ChangePolicy, type PartChecksums, planParts } from '@backhaul/protocol';
import { crc32Base64 } from '../file/crc32-base64.ts';
import type { OpenedFile } from '../file/open-file.ts';
import type { Range } from '../file/read-slices.ts';
import { QUIET_MS, readClock, TimestampTrust } from '../file/timestamp-trust.ts';
import type { FileHasher, PartHashing } from '../hashing/file-hasher.ts';
import { createLog } from '../log.ts';
import type { FileSystem } from '../platform/platform.ts';
import { confirmVersion } from './confirm-version.ts';
import { PartLedger } from './part-ledger.ts';

const warnings: string[] = [];
const log = createLog({ level: 'warn', format: 'json', write: (line) => warnings.push(line) });

interface Situation {
  /** What each byte is when the file is read once more. */
  readonly content?: number;
  readonly onChange?: ChangePolicy;
  readonly fileSystem?: FileSystem;
  /** What was announced besides the CRC32. */
  readonly announced?: Omit<PartChecksums, 'crc32'>;
  /** When the file was opened. */
  readonly ageMs?: number;
  /** By which descriptors it can be read again. */
  readonly readable?: readonly ('direct' | 'fresh' | 'first')[];
}

/**
 * @param ctimes What each look at the file finds; the last one stays.
 * @returns by which descriptors the file was read again.
 */
async function confirm(
  ctimes: readonly string[],
  {
    content = 0,
    onChange = 'fail',
    fileSystem = 'exact_times',
    announced = {},
    ageMs = QUIET_MS,
    readable = ['direct', 'fresh', 'first'],
  }: Situation = {},
): Promise<string[]> {
  const fingerprint = { device: '1', inode: '1', size: '3', mtime_ns: '1', ctime_ns: '1' };
  const plan = planParts(3, { minChunkSize: 5 * 1024 * 1024, maxParts: 10_000 });
  const ledger = new PartLedger({ plan, now: () => 0, ask: () => true });
  ledger.announce({ crc32: crc32Base64(0xff41d912), ...announced }); // of three zero bytes
  const clock = readClock();
  let looks = 0;
  const readings: string[] = [];
  const hasherBy = (descriptor: 'direct' | 'fresh' | 'first'): FileHasher => ({
    hashPart: async ({ length }: Range, { mode }: PartHashing) => {
      if (!readable.includes(descriptor)) throw new BackhaulError('read_failed');
      readings.push(descriptor);
      const crc = crc32Base64(crc32(Buffer.alloc(length, content)));
      return mode === 'md5' || mode === 'sha256' ? { crc32: crc, [mode]: 'of now' } : { crc32: crc };
    },
    digest: async () => '',
    close: async () => {},
    [Symbol.asyncDispose]: async () => {},
  });
  const file = {
    normalizedPath: 'first',
    fingerprint,
    onChange,
    trust: new TimestampTrust({ fileSystem, isSettled: true, ctimeMs: clock.wallMs - ageMs, clock }),
    assertUnchanged: async () => ({ ...fingerprint, ctime_ns: ctimes[looks++] ?? ctimes.at(-1) ?? '1' }),
    contentChanged: () => new BackhaulError('file_changed'),
    keepsChanging: () => new BackhaulError('file_changed'),
    reopen: async ({ direct }: { direct: boolean }) =>
      ({
        normalizedPath: direct ? 'direct' : 'fresh',
        [Symbol.asyncDispose]: async () => {},
      }) as unknown as OpenedFile,
  };
  const hashers = {
    open: ({ normalizedPath }: { normalizedPath: string }) =>
      hasherBy(normalizedPath as 'direct' | 'fresh' | 'first'),
  };
  const signal = AbortSignal.timeout(5000);
  await confirmVersion({ file: file as unknown as OpenedFile, ledger, hashers, log }, { signal });
  return readings;
}

test('a file whose ctime stayed is not read again, where that proves something', async () => {
  assert.deepEqual(await confirm(['1']), []);
});

test('a ctime that proves nothing makes the file be read once more, through a fresh descriptor', async () => {
  assert.deepEqual(await confirm(['1'], { ageMs: QUIET_MS - 2000 }), ['fresh']);
  assert.deepEqual(await confirm(['1'], { fileSystem: 'unknown' }), ['fresh']);
  for (const onChange of ['prefix', 'restart'] as const) {
    assert.deepEqual(await confirm(['1'], { fileSystem: 'unknown', onChange }), ['fresh']);
  }
  await assert.rejects(confirm(['1'], { fileSystem: 'unknown', content: 7 }), { code: 'file_changed' });
});

test('a file that others share is read past the page cache if it can be, and never by the first descriptor', async () => {
  const fileSystem = 'shared';
  assert.deepEqual(await confirm(['1'], { fileSystem }), ['direct']);
  assert.equal(warnings.length, 0);
  assert.deepEqual(await confirm(['1'], { fileSystem, readable: ['fresh', 'first'] }), ['fresh']);
  assert.match(warnings.join(), /cannot be read past the page cache/);
  await assert.rejects(confirm(['1'], { fileSystem, readable: ['first'] }), { code: 'read_failed' });
  await assert.rejects(confirm(['1'], { fileSystem, content: 7 }), { code: 'file_changed' });
});

test('bytes with the same CRC32 are told apart by the checksum that was announced', async () => {
  for (const mode of ['md5', 'sha256'] as const) {
    assert.deepEqual(await confirm(['2'], { announced: { [mode]: 'of now' } }), ['fresh']);
    await assert.rejects(confirm(['2'], { announced: { [mode]: 'of then' } }), { code: 'file_changed' });
  }
});

test('a file that nobody else shares, and that cannot be opened again, is read by the first descriptor', async () => {
  assert.deepEqual(await confirm(['2'], { readable: ['first'] }), ['first']);
});

test('a moved ctime is settled by reading the file, once more for each time that it moves meanwhile', async () => {
  assert.deepEqual(await confirm(['2']), ['fresh']);
  assert.deepEqual(await confirm(['2', '3']), ['fresh', 'fresh']);
});

test('other bytes, or a ctime that never rests, are another version', async () => {
  await assert.rejects(confirm(['2'], { content: 7 }), { code: 'file_changed' });
  await assert.rejects(confirm(['2', '3', '4', '5', '6']), { code: 'file_changed' });
});

test('a file that is appended to all the time is read once more, and its prefix has to be the same', async () => {
  const ctimes = ['2', '3', '4', '5', '6'];
  assert.deepEqual(await confirm(ctimes, { onChange: 'prefix' }), ['fresh']);
  await assert.rejects(confirm(ctimes, { onChange: 'prefix', content: 7 }), { code: 'file_changed' });
});
