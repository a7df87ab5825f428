import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { open, readdir, readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import { describe, test } from 'node:test';
import { pullRoutes, startPull, versionsOf } from '../testing/pull.ts';
import { finishCli, runCli, startCli } from '../testing/run-cli.ts';
import { scratchDirectory } from '../testing/scratch-directory.ts';
import { UPLOAD_ID } from '../testing/upload-record.ts';

const MIB = 1024 * 1024;
const content = randomBytes(20 * MIB + 12_345);

type Pull = Awaited<ReturnType<typeof startPull>>;

/** Kills a fetch that has more than 3 MiB of each of its ranges, and that the store keeps waiting then. */
async function killHalfWay(pull: Pull, directory: string, args: readonly string[]): Promise<string> {
  pull.store.faults.hangAfterBytes = 4 * MIB - 1000;
  const child = startCli(args, { env: pull.server.env });
  let ended = false;
  child.once('exit', () => (ended = true));
  for (;;) {
    assert.ok(!ended, 'it has not ended by itself');
    const part = (await readdir(directory)).find((name) => name.endsWith('.part'));
    // The note of the third range is the last thing that is written.
    if (part !== undefined && (await notesOf(path.join(directory, part))).every((done) => done >= 3 * MIB)) {
      child.kill('SIGKILL');
      assert.equal((await finishCli(child)).code, null);
      pull.store.faults.hangAfterBytes = undefined;
      pull.store.ranges.length = 0;
      return path.join(directory, part);
    }
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

async function notesOf(file: string): Promise<number[]> {
  // The trial before the trigger writes a part, too, and removes it again.
  const bytes = await readFile(file).catch(() => Buffer.alloc(0));
  const notes = bytes.subarray(content.length);
  return [0, 4, 8].map((at) => (notes.length >= at + 4 ? notes.readUInt32LE(at) : 0));
}

/** As S3 counts: from the ranges that were asked for. */
function bytesAskedFor(pull: Pull): number {
  return pull.store.ranges.reduce((sum, range) => {
    const [, first, last] = /(\d+)-(\d+)/.exec(range) ?? [];
    return sum + Number(last) + 1 - Number(first);
  }, 0);
}

/** Routes of the one pull that tests know by name, for another one. */
function renamedTo(uploadId: string, routes: ReturnType<typeof pullRoutes>): ReturnType<typeof pullRoutes> {
  return Object.fromEntries(
    Object.entries(routes).map(([name, route]) => [name.replace(UPLOAD_ID, uploadId), route]),
  );
}

describe('a fetch that was killed', () => {
  for (const args of [
    ['download', '--client-id', 'restaurant-1', '--output'],
    ['content', UPLOAD_ID, '--output'],
  ]) {
    test(`by ${args[0]} goes on where it was, by content`, async () => {
      await using directory = await scratchDirectory();
      await using pull = await startPull(content, { last: { etag: '"one"' } });
      const target = path.join(directory.path, 'saved.bin');
      const part = await killHalfWay(pull, directory.path, [...args, target]);
      const [uploadId = ''] = /(?<=\.backhaul-)[0-9a-f-]{36}/.exec(path.basename(part)) ?? [];
      const again = ['content', uploadId, '--output', target];
      const { code, stdout, stderr } = await runCli(again, { env: pull.server.env });
      assert.equal(code, 0, stderr);
      assert.ok((await readFile(target)).equals(content));
      assert.deepEqual(await readdir(directory.path), ['saved.bin']);
      assert.ok(bytesAskedFor(pull) <= content.length - 9 * MIB, `${bytesAskedFor(pull)} bytes again`);
      assert.match(stdout, /saved to .*saved\.bin \(compared by sha256; \d+\.\d MB were there from before\)/);
    });
  }

  test('is another one than that of another download: its pull is new, and so may the file be', async () => {
    await using directory = await scratchDirectory();
    const otherId = UPLOAD_ID.replace(/.$/, 'f');
    const others = pullRoutes(
      versionsOf(content, { etag: '"one"' }).map((one) => ({ ...one, upload_id: otherId })),
    );
    const own = pullRoutes(versionsOf(content, { etag: '"one"' }));
    const trigger = 'POST /trigger-download/restaurant-1';
    let triggered = 0;
    await using pull = await startPull(content, {
      last: { etag: '"one"' },
      routes: {
        ...renamedTo(otherId, others),
        // As the server answers: the first pull has ended.
        [trigger]: (...exchange) => ((triggered += 1) === 1 ? own : others)[trigger]?.(...exchange),
        [`GET /uploads/${otherId}/content`]: (response) =>
          response.writeHead(302, { location: pull.store.presign() }).end(),
      },
    });
    const target = path.join(directory.path, 'saved.bin');
    const args = ['download', '--client-id', 'restaurant-1', '--output', target];
    const part = await killHalfWay(pull, directory.path, args);
    const { code, stderr } = await runCli(args, { env: pull.server.env });
    assert.equal(code, 0, stderr);
    assert.equal(bytesAskedFor(pull), content.length);
    assert.deepEqual(await readdir(directory.path), [path.basename(part), 'saved.bin']);
  });

  test('begins again if what it left is not of the file, and delivers the file', async () => {
    await using directory = await scratchDirectory();
    await using pull = await startPull(content);
    const target = path.join(directory.path, 'saved.bin');
    const args = ['content', UPLOAD_ID, '--output', target];
    const part = await killHalfWay(pull, directory.path, args);
    {
      await using handle = await open(part, 'r+');
      await handle.write(Buffer.from('not of this file'), 0, 16, 0);
    }
    const { code, stdout, stderr } = await runCli(args, { env: pull.server.env });
    assert.equal(code, 0, stderr);
    assert.ok((await readFile(target)).equals(content));
    assert.deepEqual(await readdir(directory.path), ['saved.bin']);
    assert.match(stdout, /\(compared by sha256\)/);
  });

  test('begins again where nothing could tell that a part is wrong', async () => {
    await using directory = await scratchDirectory();
    await using pull = await startPull(content, { last: { sha256: null, checksum: null } });
    const target = path.join(directory.path, 'saved.bin');
    const args = ['content', UPLOAD_ID, '--output', target];
    await killHalfWay(pull, directory.path, args);
    const { code } = await runCli(args, { env: pull.server.env });
    assert.equal(code, 0);
    assert.equal((await stat(target)).size, content.length);
    assert.equal(bytesAskedFor(pull), content.length);
  });
});
