import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createReadStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { text } from 'node:stream/consumers';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { binPath } from '../../../harness/program.ts';
import type { ClosingStore } from './closing-store.ts';

const slowDisk = fileURLToPath(new URL('./slow-disk-preload.ts', import.meta.url));

/** Number of bytes after which a reader sleeps. */
const SIP_BYTES = 256 * 1024;

type SlowReader = (store: ClosingStore, path: string) => Promise<void>;

/** Ways to read a whole object with the command line, each slower than the store. */
export const slowReaders: Readonly<Record<string, SlowReader>> = {
  async file(store, path) {
    await run(store, ['content', store.uploadId, '--output', path, '--overwrite']);
    const hash = createHash('sha256');
    await pipeline(createReadStream(path), hash);
    assert.equal(hash.digest('hex'), store.sha256);
  },
  async stdout(store) {
    assert.equal(await run(store, ['content', store.uploadId, '--output', '-']), store.sha256);
  },
  // Hashing alone is slower than a store in a separate process.
  async verify(store) {
    await run(store, ['verify', store.uploadId, '--content']);
  },
};

/** @returns The SHA-256 of the command's standard output. */
async function run(store: ClosingStore, args: readonly string[]): Promise<string> {
  const child = spawn(process.execPath, ['--import', slowDisk, binPath('backhaul'), ...args], {
    env: store.env,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const ended = once(child, 'close');
  const stderr = text(child.stderr);
  const hash = createHash('sha256');
  let sip = 0;
  for await (const chunk of child.stdout) {
    hash.update(chunk as Buffer);
    sip += (chunk as Buffer).length;
    if (sip < SIP_BYTES) continue;
    sip = 0;
    await pause(1);
  }
  const [code, signal] = (await ended) as [number | null, NodeJS.Signals | null];
  assert.equal(code ?? signal, 0, await stderr);
  return hash.digest('hex');
}
