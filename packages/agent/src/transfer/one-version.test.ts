import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { crc32 } from 'node:zlib';
import {
  AgentFixture,
  MiB,
  type UploadOptions,
  prepareMessage,
  runUpload,
  signOnRequest,
} from '../fakes/agent-fixture.ts';
import { MappedWriter, whyNoMappedWriter } from '../fakes/mapped-writer.ts';
import { crc32Base64 } from '../file/crc32-base64.ts';
import { fingerprintOf } from '../file/fingerprint.ts';

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
