import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { open, readdir, readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import { describe, test } from 'node:test';
import { finishCli, runCli, startCli } from '../../../../test/harness/cli/run-cli.ts';
import { temporaryDirectory } from '../../../../test/harness/temporary-directory.ts';
import { uploadRoutes, startUpload, recordVersions } from '../../../../test/harness/cli/upload-fixture.ts';
import { UPLOAD_ID } from '../../../../test/harness/upload-record.ts';

const MIB = 1024 * 1024;
const content = randomBytes(20 * MIB + 12_345);

type UploadFixture = Awaited<ReturnType<typeof startUpload>>;

/** Kills a download that has stored more than 3 MiB of each range and then waits for the store. */
async function killHalfWay(
  upload: UploadFixture,
  directory: string,
  args: readonly string[],
): Promise<string> {
  upload.store.faults.hangAfterBytes = 4 * MIB - 1000;
  const child = startCli(args, { env: upload.server.env });
  let ended = false;
  child.once('exit', () => (ended = true));
  for (;;) {
    assert.ok(!ended, 'the download is still running');
    const part = (await readdir(directory)).find((name) => name.endsWith('.part'));
    // The note of the third range is written last.
    if (part !== undefined && (await notesOf(path.join(directory, part))).every((done) => done >= 3 * MIB)) {
      child.kill('SIGKILL');
      assert.equal((await finishCli(child)).code, null);
      upload.store.faults.hangAfterBytes = undefined;
      upload.store.ranges.length = 0;
      return path.join(directory, part);
    }
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

async function notesOf(file: string): Promise<number[]> {
  // The check of --output before the trigger also writes a part file, and removes it again.
  const bytes = await readFile(file).catch(() => Buffer.alloc(0));
  const notes = bytes.subarray(content.length);
  return [0, 4, 8].map((at) => (notes.length >= at + 4 ? notes.readUInt32LE(at) : 0));
}

/** Sum of the requested ranges. */
function bytesRequested(upload: UploadFixture): number {
  return upload.store.ranges.reduce((sum, range) => {
    const [, first, last] = /(\d+)-(\d+)/.exec(range) ?? [];
    return sum + Number(last) + 1 - Number(first);
  }, 0);
}

/** The routes of the fixture's upload under another upload_id. */
function renamedTo(
  uploadId: string,
  routes: ReturnType<typeof uploadRoutes>,
): ReturnType<typeof uploadRoutes> {
  return Object.fromEntries(
    Object.entries(routes).map(([name, route]) => [name.replace(UPLOAD_ID, uploadId), route]),
  );
}

describe('a killed download', () => {
  for (const args of [
    ['download', '--client-id', 'restaurant-1', '--output'],
    ['content', UPLOAD_ID, '--output'],
  ]) {
    test(`by ${args[0]} is resumed by content`, async () => {
      await using directory = await temporaryDirectory();
      await using upload = await startUpload(content, { last: { etag: '"one"' } });
      const target = path.join(directory.path, 'saved.bin');
      const part = await killHalfWay(upload, directory.path, [...args, target]);
      const [uploadId = ''] = /(?<=\.backhaul-)[0-9a-f-]{36}/.exec(path.basename(part)) ?? [];
      const again = ['content', uploadId, '--output', target];
      const { code, stdout, stderr } = await runCli(again, { env: upload.server.env });
      assert.equal(code, 0, stderr);
      assert.ok((await readFile(target)).equals(content));
      assert.deepEqual(await readdir(directory.path), ['saved.bin']);
      assert.ok(bytesRequested(upload) <= content.length - 9 * MIB, `${bytesRequested(upload)} bytes again`);
      assert.match(stdout, /saved to .*saved\.bin \(verified by sha256; resumed after \d+\.\d MB\)/);
    });
  }

  test('is not resumed by another download, which starts a new upload', async () => {
    await using directory = await temporaryDirectory();
    const otherId = UPLOAD_ID.replace(/.$/, 'f');
    const others = uploadRoutes(
      recordVersions(content, { etag: '"one"' }).map((one) => ({ ...one, upload_id: otherId })),
    );
    const own = uploadRoutes(recordVersions(content, { etag: '"one"' }));
    const trigger = 'POST /trigger-download/restaurant-1';
    let triggered = 0;
    await using upload = await startUpload(content, {
      last: { etag: '"one"' },
      routes: {
        ...renamedTo(otherId, others),
        // Like the server: the first upload has ended, so the second trigger starts a new one.
        [trigger]: (...exchange) => ((triggered += 1) === 1 ? own : others)[trigger]?.(...exchange),
        [`GET /uploads/${otherId}/content`]: (response) =>
          response.writeHead(302, { location: upload.store.presign() }).end(),
      },
    });
    const target = path.join(directory.path, 'saved.bin');
    const args = ['download', '--client-id', 'restaurant-1', '--output', target];
    const part = await killHalfWay(upload, directory.path, args);
    const { code, stderr } = await runCli(args, { env: upload.server.env });
    assert.equal(code, 0, stderr);
    assert.equal(bytesRequested(upload), content.length);
    assert.deepEqual(await readdir(directory.path), [path.basename(part), 'saved.bin']);
  });

  test('starts over and delivers the file if the part file holds other bytes', async () => {
    await using directory = await temporaryDirectory();
    await using upload = await startUpload(content);
    const target = path.join(directory.path, 'saved.bin');
    const args = ['content', UPLOAD_ID, '--output', target];
    const part = await killHalfWay(upload, directory.path, args);
    {
      await using handle = await open(part, 'r+');
      await handle.write(Buffer.from('not of this file'), 0, 16, 0);
    }
    const { code, stdout, stderr } = await runCli(args, { env: upload.server.env });
    assert.equal(code, 0, stderr);
    assert.ok((await readFile(target)).equals(content));
    assert.deepEqual(await readdir(directory.path), ['saved.bin']);
    assert.match(stdout, /\(verified by sha256\)/);
  });

  test('starts over if the record has no checksum to detect a wrong part', async () => {
    await using directory = await temporaryDirectory();
    await using upload = await startUpload(content, { last: { sha256: null, checksum: null } });
    const target = path.join(directory.path, 'saved.bin');
    const args = ['content', UPLOAD_ID, '--output', target];
    await killHalfWay(upload, directory.path, args);
    const { code } = await runCli(args, { env: upload.server.env });
    assert.equal(code, 0);
    assert.equal((await stat(target)).size, content.length);
    assert.equal(bytesRequested(upload), content.length);
  });
});
