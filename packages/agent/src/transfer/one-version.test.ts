import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { crc32 } from 'node:zlib';
import { BackhaulError, type ChangePolicy, type PartChecksums, planParts } from '@backhaul/protocol';
import {
  AgentFixture,
  MiB,
  prepareMessage,
  runUpload,
  signOnRequest,
  type UploadOptions,
} from '../../../../test/harness/agent/agent-fixture.ts';
import { MappedWriter, whyNoMappedWriter } from '../../../../test/harness/agent/mapped-writer.ts';
import { crc32Base64 } from '../file/checksums.ts';
import { fingerprintOf } from '../file/fingerprint.ts';
import type { FileHasher, PartHashing } from '../file/hashers.ts';
import type { OpenedFile } from '../file/open-file.ts';
import type { Range } from '../file/slices.ts';
import { QUIET_MS, readClock, TimestampTrust } from '../file/timestamp-trust.ts';
import { createLog } from '../log.ts';
import type { FileSystem } from '../platform/platform.ts';
import { confirmVersion } from './one-version.ts';
import { PartLedger } from './part-ledger.ts';

const PART_BYTES = 5 * MiB;
const PARTS = 12;
const FILE_BYTES = PARTS * PART_BYTES;
const LAST = { offset: FILE_BYTES - 8, length: 8 };
const FIRST = { offset: 0, length: 8 };
/** Large enough that the last part is read after the first ones were sent. */
const options: UploadOptions = { windowSize: 2 };

const mountTmpfs = (directory: string) =>
  execFileSync('mount', ['-t', 'tmpfs', 'tmpfs', directory], { stdio: 'pipe' });
const unmount = (directory: string) => execFileSync('umount', [directory]);

async function whyNoTmpfs(): Promise<string | false> {
  if (process.platform !== 'linux') return 'only Linux has tmpfs';
  const directory = await mkdtemp(join(tmpdir(), 'backhaul-tmpfs-'));
  try {
    mountTmpfs(directory);
    unmount(directory);
    return false;
  } catch {
    return 'mounting a tmpfs requires root';
  } finally {
    await rm(directory, { recursive: true });
  }
}
const skip = (await whyNoTmpfs()) || whyNoMappedWriter;

/** Fixture whose agent reads from a tmpfs, where mapped writes do not change timestamps. */
async function tmpfsFixture() {
  await using cleanup = new AsyncDisposableStack();
  const fixture = cleanup.use(await AgentFixture.start({ config: { parallelParts: 1 } }));
  const directory = join(fixture.directory, 'tmpfs');
  await mkdir(directory);
  mountTmpfs(directory);
  cleanup.defer(() => void unmount(directory));
  const path = join(directory, 'mapped');
  // Not a hole, because adding a page changes the times.
  await writeFile(path, Buffer.alloc(FILE_BYTES));
  const writer = cleanup.use(await MappedWriter.open(path));
  // The agent must close the file before the unmount.
  cleanup.defer(() => fixture.app.close());
  const moved = cleanup.move();
  return { fixture, path, writer, [Symbol.asyncDispose]: () => moved.disposeAsync() };
}

describe('a file whose timestamps do not change when it is written', { skip }, () => {
  for (const onChange of ['fail', 'restart', 'prefix'] as const) {
    test(`is file_changed if sent and unsent parts are written, with ${onChange}`, async () => {
      await using stand = await tmpfsFixture();
      const { fixture, path, writer } = stand;
      const before = fingerprintOf(await stat(path, { bigint: true }));
      fixture.store.fault = async ({ partNumber }) => {
        if (partNumber !== 2) return false;
        await writer.write(FIRST, 7);
        await writer.write(LAST, 7);
        return false;
      };
      const session = await fixture.server.acceptAndWelcome();
      const final = await runUpload(session, fixture.store, path, { ...options, onChange });
      assert.ok(final.status === 'failed', 'the object holds two versions');
      assert.equal(final.error, 'file_changed');
      assert.match(final.message, /its content changed/);
      const stored = fixture.store.object();
      assert.deepEqual([stored[0], stored.at(-1)], [0, 7], 'each part was sent as it was read');
      assert.deepEqual(fingerprintOf(await stat(path, { bigint: true })), before, 'no timestamp changed');
    });
  }

  test('is uploaded if it was not written', async () => {
    await using stand = await tmpfsFixture();
    const { fixture, path } = stand;
    const final = await runUpload(await fixture.server.acceptAndWelcome(), fixture.store, path, options);
    assert.equal(final.status, 'completed', JSON.stringify(final));
    const line = fixture.log.find((text) => text.includes('reading the file a second time'));
    assert.match(line ?? '', /"file_system":"unknown"/);
  });

  test('is file_changed also in a resumed upload', async () => {
    await using stand = await tmpfsFixture();
    const { fixture, path, writer } = stand;
    const fingerprint = fingerprintOf(await stat(path, { bigint: true }));
    const zeros = crc32Base64(crc32(Buffer.alloc(PART_BYTES)));
    const session = await fixture.server.acceptAndWelcome();
    signOnRequest(session, fixture.store);
    fixture.store.fault = async ({ partNumber }) => {
      if (partNumber !== 3) return false;
      // Kept parts may have been compared already; the last part has not been read yet.
      await writer.write(FIRST, 7);
      await writer.write(LAST, 7);
      return false;
    };
    const resume = {
      ...{ size: FILE_BYTES, fingerprint },
      kept_parts: [1, 2].map((number) => ({ part_number: number, crc32: zeros })),
    };
    session.send(prepareMessage(path, { ...options, attempt: 2, resume }));
    const final = await session.next('completed', 'failed');
    assert.ok(final.status === 'failed', 'the object holds two versions');
    assert.equal(final.error, 'file_changed');
  });
});

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
