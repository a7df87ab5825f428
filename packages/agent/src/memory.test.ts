import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtemp, open, readFile, realpath, rm } from 'node:fs/promises';
import type { IncomingMessage } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { crc32 } from 'node:zlib';
import { MiB, prepareMessage, runUpload } from '../../../test/harness/agent/agent-fixture.ts';
import { FakeServer } from '../../../test/doubles/fake-server.ts';
import { FakeStore, sendError } from '../../../test/doubles/fake-store.ts';
import { crc32Base64 } from './file/checksums.ts';

const program = fileURLToPath(new URL('../bin/backhaul-agent.js', import.meta.url));
/** Documented maximum, for any file and part size. */
const MAX_BYTES = 160 * MiB;
/** When run from the sources, each thread strips the types itself, which takes more memory than its work. */
const TWO_THREADS_BYTES = 40 * MiB;
const FILE_BYTES = 525 * MiB;

describe('the memory of an agent', { skip: process.platform !== 'linux' && 'it is read from /proc' }, () => {
  for (const { name, partBytes } of [
    { name: 'one part of 525 MiB, of a file of 5 TiB,', partBytes: FILE_BYTES },
    { name: 'four parts of 105 MiB at once', partBytes: 105 * MiB },
  ]) {
    test(`stays small while it sends ${name} to a slow store`, async (t) => {
      await using store = await FakeStore.start();
      const received: number[] = [];
      store.fault = async (put, request, response) => {
        const { sizeBytes, checksum } = await discardSlowly(request);
        if (put.headers['x-amz-checksum-crc32'] !== checksum) sendError(response, 400, 'BadDigest');
        else {
          received.push(sizeBytes);
          response.writeHead(200, { etag: `"etag-${put.partNumber}"` }).end();
        }
        return true;
      };
      await using agent = await startAgent(FILE_BYTES, ['--no-sha256']);
      const final = await runUpload(agent.session, store, agent.path, { minChunkSize: partBytes });
      assert.equal(final.status, 'completed', JSON.stringify(final));
      const peak = await peakBytes(agent.pid);
      t.diagnostic(`at most ${Math.round(peak / MiB)} MiB`);
      assert.deepEqual(
        received,
        Array.from({ length: FILE_BYTES / partBytes }, () => partBytes),
      );
      assert.ok(peak <= MAX_BYTES, `it took ${Math.round(peak / MiB)} MiB`);
    });
  }

  test('stays small with many uploads at once', async (t) => {
    await using agent = await startAgent(20 * MiB, ['--max-uploads', '16']);
    const uploads = Array.from({ length: 16 }, () => prepareMessage(agent.path));
    for (const upload of uploads) agent.session.send(upload);
    for (const _ of uploads) await agent.session.next('prepared');
    const peak = await peakBytes(agent.pid);
    t.diagnostic(`at most ${Math.round(peak / MiB)} MiB`);
    assert.ok(peak <= MAX_BYTES + TWO_THREADS_BYTES, `it took ${Math.round(peak / MiB)} MiB`);
  });
});

/** Starts the program, connected, with one file of that size. */
async function startAgent(fileBytes: number, flags: readonly string[]) {
  await using cleanup = new AsyncDisposableStack();
  const server = cleanup.use(await FakeServer.start());
  const directory = await realpath(await mkdtemp(join(tmpdir(), 'backhaul-memory-')));
  cleanup.defer(() => rm(directory, { recursive: true }));
  const path = join(directory, 'large.bin');
  await sparseFile(path, fileBytes);
  const own = ['--client-id', 'till', '--file', path, '--server-url', server.url];
  const agent = spawn(process.execPath, [program, ...own, ...flags], {
    env: { BACKHAUL_TOKEN: 'token' },
    stdio: 'ignore',
  });
  cleanup.defer(() => void agent.kill('SIGKILL'));
  const session = await server.acceptAndWelcome();
  const owned = cleanup.move();
  return { session, path, pid: agent.pid, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

/** Creates a sparse file with a few bytes of content. */
async function sparseFile(path: string, sizeBytes: number): Promise<void> {
  await using file = await open(path, 'w');
  await file.truncate(sizeBytes);
  for (let at = 0; at < sizeBytes; at += 10 * MiB) await file.write(`here is ${at}`, at);
}

/** Reads slower than the agent, so that missing backpressure shows as memory use. */
async function discardSlowly(request: IncomingMessage): Promise<{ sizeBytes: number; checksum: string }> {
  let crc = 0;
  let sizeBytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    crc = crc32(chunk, crc);
    if (Math.floor(sizeBytes / MiB) !== Math.floor((sizeBytes + chunk.length) / MiB)) {
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    sizeBytes += chunk.length;
  }
  return { sizeBytes, checksum: crc32Base64(crc) };
}

/** Peak memory since the start of the process. */
async function peakBytes(pid: number | undefined): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1]) * 1024;
}
