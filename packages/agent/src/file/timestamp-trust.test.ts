import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { type FileHandle, mkdir, mkdtemp, open, realpath, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type TestContext } from 'node:test';
import { cannotMount, FaultyMount } from '../../../../test/doubles/faulty-mount.ts';
import { gate } from '../../../../test/doubles/open-gate.ts';
import type { FileSystem } from '../platform/platform.ts';
import { linux } from '../platform/linux.ts';
import { GatedFile } from './gated-file.ts';
import { QUIET_MS, statOpened, TimestampTrust } from './timestamp-trust.ts';

// Must be set before the first use of the thread pool.
process.env['UV_THREADPOOL_SIZE'] = '16';

const clock = { wallMs: 1_800_000_000_000, steadyMs: 5000 };
const quiet = {
  fileSystem: 'exact_times',
  isSettled: true,
  ctimeMs: clock.wallMs - QUIET_MS,
  clock,
} as const;
/** One hour later on both clocks. */
const later = { wallMs: clock.wallMs + 3_600_000, steadyMs: clock.steadyMs + 3_600_000 };

test('an unchanged ctime proves unchanged bytes only if it was old when the file was opened', () => {
  assert.equal(new TimestampTrust(quiet).holds(later), true);
  assert.equal(new TimestampTrust({ ...quiet, ctimeMs: quiet.ctimeMs + 1 }).holds(later), false);
});

test('a ctime in the future proves nothing', () => {
  for (const aheadMs of [1, 60_000, 400 * 86_400_000]) {
    const trust = new TimestampTrust({ ...quiet, ctimeMs: clock.wallMs + aheadMs });
    assert.equal(trust.holds(later), false, String(aheadMs));
  }
});

test('a ctime proves nothing if mapped pages were not written back or the file system has no exact times', () => {
  assert.equal(new TimestampTrust({ ...quiet, isSettled: false }).holds(later), false);
  assert.equal(new TimestampTrust({ ...quiet, fileSystem: 'shared' }).holds(later), false);
  assert.equal(new TimestampTrust({ ...quiet, fileSystem: 'unknown' }).holds(later), false);
});

test('a clock set back since the open may repeat a ctime; a clock set forward cannot', () => {
  const trust = new TimestampTrust(quiet);
  assert.equal(trust.holds({ ...later, wallMs: later.wallMs - QUIET_MS }), false);
  assert.equal(trust.holds({ ...later, wallMs: later.wallMs + 86_400_000 }), true);
  assert.equal(trust.holds({ ...later, wallMs: later.wallMs - 50 }), true, 'as NTP often does');
});

interface Handle {
  readonly fileSystem?: FileSystem;
  readonly ageMs?: number;
  readonly datasync?: () => Promise<void>;
  readonly read?: () => Promise<void>;
  /** Whether the file is written during the flush. */
  readonly isWritten?: boolean;
}

/** @returns Whether the file's timestamps are trusted, and which calls were made in addition to stat and statfs. */
async function trusts({
  fileSystem = 'exact_times',
  ageMs = 2 * QUIET_MS,
  datasync = async () => {},
  read = async () => {},
  isWritten = false,
}: Handle): Promise<{ trusted: boolean; made: string[] }> {
  const made: string[] = [];
  let ctimeNs = BigInt(Date.now() - ageMs) * 1_000_000n;
  const handle = {
    stat: async () => ({ ctimeNs }),
    datasync: async () => {
      made.push('datasync');
      if (isWritten) ctimeNs += 1n;
      await datasync();
    },
    read: async () => {
      made.push('read');
      await read();
    },
    close: async () => {},
  } as unknown as FileHandle;
  const platform = { ...linux, fileSystemOf: async () => fileSystem, reopen: async () => handle };
  const signal = AbortSignal.timeout(60_000);
  const file = await GatedFile.open('/data/file', async () => handle, { gate, signal });
  const { trust } = await statOpened(file, { platform, realPath: '/data/file' });
  await file.close();
  return { trusted: trust.holds(), made };
}

const failing = (code: string) => () => Promise.reject(Object.assign(new Error(code), { code }));

test('pages are written back only if the timestamps can then be trusted', async () => {
  assert.deepEqual(await trusts({}), { trusted: true, made: ['datasync', 'read'] });
  assert.deepEqual(await trusts({ fileSystem: 'shared' }), { trusted: false, made: [] });
  assert.deepEqual(await trusts({ fileSystem: 'unknown' }), { trusted: false, made: [] });
  assert.deepEqual(await trusts({ ageMs: 1000 }), { trusted: false, made: [] });
});

test('a file that is written during the check, or whose flush fails, is not trusted', async () => {
  assert.equal((await trusts({ isWritten: true })).trusted, false);
  const { trusted, made } = await trusts({ datasync: failing('EIO') });
  assert.deepEqual({ trusted, made }, { trusted: false, made: ['datasync'] }, 'it is not retried');
  assert.equal((await trusts({ read: failing('EINVAL') })).trusted, true, 'one byte is not aligned');
  assert.equal((await trusts({ read: failing('EIO') })).trusted, false);
});

test('a slow flush times out, and the file is still opened', async () => {
  const flushed = Promise.withResolvers<void>();
  assert.deepEqual(await trusts({ datasync: () => flushed.promise }), {
    trusted: false,
    made: ['datasync'],
  });
  flushed.resolve();
});

/** Copies a mapped file, whose file system delays a read, into another file with one write(). */
const longWriter = `
import mmap, os, sys
source = mmap.mmap(os.open(sys.argv[1], os.O_RDONLY), 60 << 20, prot=mmap.PROT_READ, flags=mmap.MAP_PRIVATE)
assert os.pwrite(os.open(sys.argv[2], os.O_RDWR), source, 0) == 60 << 20
`;

async function ext4At(directory: string): Promise<AsyncDisposable> {
  const image = `${directory}.image`;
  await mkdir(directory);
  await writeFile(image, '');
  await truncate(image, 200 << 20);
  execFileSync('mkfs.ext4', ['-q', '-F', '-I', '256', image]);
  execFileSync('mount', ['-o', 'loop', image, directory], { stdio: 'pipe' });
  return { [Symbol.asyncDispose]: async () => void execFileSync('umount', [directory]) };
}

async function whyNoExt4(): Promise<string | false> {
  if (cannotMount !== false) return cannotMount;
  const directory = await mkdtemp(join(tmpdir(), 'backhaul-ext4-'));
  try {
    await (await ext4At(join(directory, 'disk')))[Symbol.asyncDispose]();
    return false;
  } catch (error) {
    return `ext4 cannot be mounted: ${error instanceof Error ? error.message : String(error)}`;
  } finally {
    await rm(directory, { recursive: true });
  }
}
const skip = await whyNoExt4();
if (skip !== false) console.error(`NOT TESTED: one long write(), because ${skip}`);

/** Advances the clock until an unmodified file counts as quiet. */
function advanceClock(t: TestContext): void {
  const now = Date.now.bind(Date);
  t.mock.method(Date, 'now', () => now() + QUIET_MS + 1000);
}

test(
  'a file is not trusted during a long write(), and is trusted after it has ended',
  { skip },
  async (t) => {
    await using cleanup = new AsyncDisposableStack();
    const directory = await realpath(await mkdtemp(join(tmpdir(), 'backhaul-long-write-')));
    cleanup.defer(() => rm(directory, { recursive: true }));
    cleanup.use(await ext4At(join(directory, 'disk')));
    await mkdir(join(directory, 'faulty'));
    const faulty = cleanup.use(await FaultyMount.at(join(directory, 'faulty')));
    const path = join(directory, 'disk', 'file');
    await writeFile(path, Buffer.alloc(60 << 20));
    const trustsIt = async (): Promise<boolean> => {
      const signal = AbortSignal.timeout(60_000);
      const file = await GatedFile.open(path, () => open(path), { gate, signal });
      const { trust } = await statOpened(file, { platform: linux, realPath: path });
      await file.close();
      return trust.holds();
    };
    assert.equal(await trustsIt(), false, 'it was just written');
    advanceClock(t);
    const writer = spawn('python3', ['-c', longWriter, join(faulty.path, 'held-read'), path], {
      stdio: 'inherit',
    });
    const ended = once(writer, 'exit');
    cleanup.defer(async () => {
      writer.kill('SIGKILL');
      faulty.releaseHeld();
      await ended;
    });
    await faulty.waitFor('holds held-read');
    assert.equal(await trustsIt(), false);
    faulty.releaseHeld();
    assert.deepEqual(await ended, [0, null]);
    assert.equal(await trustsIt(), true);
  },
);
