import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { randomFile } from '../harness/random-file.ts';
import { Stage } from '../harness/stage.ts';

const RAW_AGENT = fileURLToPath(new URL('../../examples/raw-agent.mjs', import.meta.url));
const MIB = 1024 * 1024;

describe('examples/raw-agent.mjs', () => {
  let stage: Stage;
  before(async () => {
    stage = await Stage.start();
  });
  after(() => stage[Symbol.asyncDispose]());

  test('is enough to pull a file of 200 MiB, in several windows, as the same bytes', async () => {
    const file = stage.directory.join('large.bin');
    const sha256 = await randomFile(file, 200 * MIB);
    await using _agent = await startRawAgent('raw-1', file);

    const record = await stage.pull('raw-1', {});
    assert.equal(record.status, 'completed', record.message ?? '');
    assert.equal(record.part_count, 40);
    assert.equal(record.parts_completed, 40);
    assert.equal(record.size, 200 * MIB);
    assert.equal(record.file_name, 'large.bin');
    assert.equal(await sha256OfContent(record.upload_id), sha256);
  });

  test('pulls again, and an empty file, too', async () => {
    const file = stage.directory.join('empty.bin');
    const sha256 = await randomFile(file, 0);
    await using _agent = await startRawAgent('raw-2', file);
    for (let pull = 0; pull < 2; pull += 1) {
      const record = await stage.pull('raw-2', {});
      assert.equal(record.status, 'completed', record.message ?? '');
      assert.equal(await sha256OfContent(record.upload_id), sha256);
    }
  });

  test('says why it sends no other file, and none that is not there', async () => {
    const missing = stage.directory.join('missing.bin');
    await using _agent = await startRawAgent('raw-3', missing);
    assert.equal((await stage.pull('raw-3', {})).error, 'file_not_found');
    const other = await stage.pull('raw-3', { file_path: '/etc/passwd' });
    assert.equal(other.error, 'path_not_allowed');
    assert.match(other.message ?? '', /missing\.bin/);
  });

  async function startRawAgent(clientId: string, file: string): Promise<AsyncDisposable> {
    const token = await stage.tokens.agent(clientId);
    const args = [RAW_AGENT, clientId, file, `${stage.webSocketUrl}/ws/connect`, token];
    const agent = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    const stop = async (): Promise<void> => {
      if (!isRunning(agent)) return;
      const exit = once(agent, 'exit');
      agent.kill();
      await exit;
    };
    await untilPrinted(agent, `${clientId} welcome`);
    return { [Symbol.asyncDispose]: stop };
  }

  async function sha256OfContent(uploadId: string): Promise<string> {
    const redirect = await stage.fetch(`/uploads/${uploadId}/content`);
    assert.equal(redirect.status, 302);
    const object = await fetch(redirect.headers.get('location') ?? '');
    assert.equal(object.status, 200);
    const hash = createHash('sha256');
    for await (const bytes of object.body ?? []) hash.update(bytes);
    return hash.digest('hex');
  }
});

function isRunning(agent: ChildProcess): boolean {
  return agent.exitCode === null && agent.signalCode === null;
}

async function untilPrinted(agent: ChildProcess, text: string): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  let printed = '';
  agent.stdout?.setEncoding('utf8').on('data', (chunk: string) => {
    printed += chunk;
    if (printed.includes(text)) resolve();
  });
  agent.once('close', (code) => reject(new Error(`the raw agent ended with ${code}: ${printed}`)));
  const timer = setTimeout(() => reject(new Error(`the raw agent printed only: ${printed}`)), 30_000);
  await promise.finally(() => clearTimeout(timer));
}
