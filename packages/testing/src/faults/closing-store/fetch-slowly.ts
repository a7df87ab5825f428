import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createReadStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import { text } from 'node:stream/consumers';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { binPath } from '../../program.ts';
import type { ClosingStore } from './closing-store.ts';

const slowDisk = fileURLToPath(new URL('./slow-disk-preload.ts', import.meta.url));

/** A reader sleeps after so many bytes. */
const SIP_BYTES = 256 * 1024;

type SlowReader = (store: ClosingStore, path: string) => Promise<void>;

/** Each way to read a whole object by the command line, by a reader that is slower than the store. */
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
  // Hashing alone is slow enough beside a store that is a process of its own.
  async verify(store) {
    await run(store, ['verify', store.uploadId, '--content']);
  },
};

/** @returns The SHA-256 of what the command line wrote to its standard output. */
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
