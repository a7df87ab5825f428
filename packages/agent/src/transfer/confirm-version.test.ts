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
  /** Value of each byte in the second reading. */
  readonly content?: number;
  readonly onChange?: ChangePolicy;
  readonly fileSystem?: FileSystem;
  /** Announced checksums in addition to the CRC-32. */
  readonly announced?: Omit<PartChecksums, 'crc32'>;
  /** Age of the ctime at the open. */
  readonly ageMs?: number;
  /** Descriptors that can be read. */
  readonly readable?: readonly ('direct' | 'fresh' | 'first')[];
}

/**
 * @param ctimes The ctime at each check; the last one is repeated.
 * @returns The descriptors through which the file was read again.
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
  let checks = 0;
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
    assertUnchanged: async () => ({ ...fingerprint, ctime_ns: ctimes[checks++] ?? ctimes.at(-1) ?? '1' }),
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

test('a file with an unchanged, trusted ctime is not read again', async () => {
  assert.deepEqual(await confirm(['1']), []);
});

test('a file with an untrusted ctime is read once more, through a new descriptor', async () => {
  assert.deepEqual(await confirm(['1'], { ageMs: QUIET_MS - 2000 }), ['fresh']);
  assert.deepEqual(await confirm(['1'], { fileSystem: 'unknown' }), ['fresh']);
  for (const onChange of ['prefix', 'restart'] as const) {
    assert.deepEqual(await confirm(['1'], { fileSystem: 'unknown', onChange }), ['fresh']);
  }
  await assert.rejects(confirm(['1'], { fileSystem: 'unknown', content: 7 }), { code: 'file_changed' });
});

test('a file on a shared file system is read directly if possible, and never through the first descriptor', async () => {
  const fileSystem = 'shared';
  assert.deepEqual(await confirm(['1'], { fileSystem }), ['direct']);
  assert.equal(warnings.length, 0);
  assert.deepEqual(await confirm(['1'], { fileSystem, readable: ['fresh', 'first'] }), ['fresh']);
  assert.match(warnings.join(), /cannot bypass the page cache/);
  await assert.rejects(confirm(['1'], { fileSystem, readable: ['first'] }), { code: 'read_failed' });
  await assert.rejects(confirm(['1'], { fileSystem, content: 7 }), { code: 'file_changed' });
});

test('bytes with the same CRC-32 are distinguished by the announced checksum', async () => {
  for (const mode of ['md5', 'sha256'] as const) {
    assert.deepEqual(await confirm(['2'], { announced: { [mode]: 'of now' } }), ['fresh']);
    await assert.rejects(confirm(['2'], { announced: { [mode]: 'of then' } }), { code: 'file_changed' });
  }
});

test('a local file that cannot be reopened is read through the first descriptor', async () => {
  assert.deepEqual(await confirm(['2'], { readable: ['first'] }), ['first']);
});

test('after a ctime change the file is read again, once more for each further change', async () => {
  assert.deepEqual(await confirm(['2']), ['fresh']);
  assert.deepEqual(await confirm(['2', '3']), ['fresh', 'fresh']);
});

test('different bytes, or a ctime that changes each time, are file_changed', async () => {
  await assert.rejects(confirm(['2'], { content: 7 }), { code: 'file_changed' });
  await assert.rejects(confirm(['2', '3', '4', '5', '6']), { code: 'file_changed' });
});

test('a file that grows continuously is read once more, and its prefix must be unchanged', async () => {
  const ctimes = ['2', '3', '4', '5', '6'];
  assert.deepEqual(await confirm(ctimes, { onChange: 'prefix' }), ['fresh']);
  await assert.rejects(confirm(ctimes, { onChange: 'prefix', content: 7 }), { code: 'file_changed' });
});
