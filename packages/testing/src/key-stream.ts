import { createCipheriv, createHash } from 'node:crypto';
import { setImmediate as turn } from 'node:timers/promises';

const CHUNK = 1024 * 1024;
const BLOCK = 16;

/** Endless pseudo-random bytes of a seed, of which any stretch can be told at any time. */
export function* keyStream(seed: string, from: number, to: number): Generator<Buffer, void, undefined> {
  const counter = Buffer.alloc(BLOCK);
  counter.writeBigUInt64BE(BigInt(Math.floor(from / BLOCK)), BLOCK - 8);
  const cipher = createCipheriv('aes-256-ctr', createHash('sha256').update(seed).digest(), counter);
  cipher.update(Buffer.alloc(from % BLOCK));
  for (let at = from; at < to; at += CHUNK) yield cipher.update(Buffer.alloc(Math.min(CHUNK, to - at)));
}

/** In hexadecimal, of the first `sizeBytes`. */
export async function sha256OfKeyStream(seed: string, sizeBytes: number): Promise<string> {
  const hash = createHash('sha256');
  for (const chunk of keyStream(seed, 0, sizeBytes)) {
    hash.update(chunk);
    // Proxies of the same process have to go on meanwhile.
    await turn();
  }
  return hash.digest('hex');
}
