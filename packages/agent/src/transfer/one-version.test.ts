import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { crc32 } from 'node:zlib';
import {
  AgentBench,
  MiB,
  type PullOptions,
  prepareMessage,
  pull,
  signOnRequest,
} from '../fakes/agent-bench.ts';
import { MappedWriter, whyNoMappedWriter } from '../fakes/mapped-writer.ts';
import { crc32Base64 } from '../file/crc32-base64.ts';
import { fingerprintOf } from '../file/fingerprint.ts';

const PART_BYTES = 5 * MiB;
const PARTS = 12;
const FILE_BYTES = PARTS * PART_BYTES;
const LAST = { offset: FILE_BYTES - 8, length: 8 };
const FIRST = { offset: 0, length: 8 };
/** The last part is not read before the first ones are sent. */
const options: PullOptions = { windowSize: 2 };

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
    return 'a tmpfs has to be mounted, which this user may not do; run this as root';
  } finally {
    await rm(directory, { recursive: true });
  }
}
const skip = (await whyNoTmpfs()) || whyNoMappedWriter;

/** A bench whose agent reads from a tmpfs, where mapped writes move no timestamp. */
async function tmpfsBench() {
  await using cleanup = new AsyncDisposableStack();
  const bench = cleanup.use(await AgentBench.start({ config: { parallelParts: 1 } }));
  const directory = join(bench.directory, 'tmpfs');
  await mkdir(directory);
  mountTmpfs(directory);
  cleanup.defer(() => void unmount(directory));
  const path = join(directory, 'mapped');
  // Not a hole: a page that is added does move the times.
  await writeFile(path, Buffer.alloc(FILE_BYTES));
  const writer = cleanup.use(await MappedWriter.open(path));
  // While the agent has the file open, it cannot be unmounted.
  cleanup.defer(() => bench.app.close());
  const moved = cleanup.move();
  return { bench, path, writer, [Symbol.asyncDispose]: () => moved.disposeAsync() };
}

describe('a file whose timestamps do not move when it is written to', { skip }, () => {
  for (const onChange of ['fail', 'restart', 'prefix'] as const) {
    test(`is file_changed when parts that were sent and parts that were not are written, by ${onChange}`, async () => {
      await using stand = await tmpfsBench();
      const { bench, path, writer } = stand;
      const before = fingerprintOf(await stat(path, { bigint: true }));
      bench.store.fault = async ({ partNumber }) => {
        if (partNumber !== 2) return false;
        await writer.write(FIRST, 7);
        await writer.write(LAST, 7);
        return false;
      };
      const session = await bench.server.acceptAndWelcome();
      const final = await pull(session, bench.store, path, { ...options, onChange });
      assert.ok(final.status === 'failed', 'the object holds two versions');
      assert.equal(final.error, 'file_changed');
      assert.match(final.message, /its content changed/);
      const stored = bench.store.object();
      assert.deepEqual([stored[0], stored.at(-1)], [0, 7], 'each part was sent as it was when it was read');
      assert.deepEqual(fingerprintOf(await stat(path, { bigint: true })), before, 'no timestamp moved');
    });
  }

  test('is delivered when it was not written to', async () => {
    await using stand = await tmpfsBench();
    const { bench, path } = stand;
    const final = await pull(await bench.server.acceptAndWelcome(), bench.store, path, options);
    assert.equal(final.status, 'completed', JSON.stringify(final));
    const line = bench.log.find((text) => text.includes('reading the file a second time'));
    assert.match(line ?? '', /"file_system":"unknown"/);
  });

  test('is file_changed, too, when its upload goes on after an interruption', async () => {
    await using stand = await tmpfsBench();
    const { bench, path, writer } = stand;
    const fingerprint = fingerprintOf(await stat(path, { bigint: true }));
    const zeros = crc32Base64(crc32(Buffer.alloc(PART_BYTES)));
    const session = await bench.server.acceptAndWelcome();
    signOnRequest(session, bench.store);
    bench.store.fault = async ({ partNumber }) => {
      if (partNumber !== 3) return false;
      // What was kept may have been compared already, and the last part is still to be read.
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
