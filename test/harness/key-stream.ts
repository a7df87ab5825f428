import { createCipheriv, createHash } from 'node:crypto';
import { setImmediate as turn } from 'node:timers/promises';

const CHUNK = 1024 * 1024;
const BLOCK = 16;

/** Yields bytes `from` to `to` of the endless pseudo-random stream of a seed. */
export function* keyStream(seed: string, from: number, to: number): Generator<Buffer, void, undefined> {
  const counter = Buffer.alloc(BLOCK);
  counter.writeBigUInt64BE(BigInt(Math.floor(from / BLOCK)), BLOCK - 8);
  const cipher = createCipheriv('aes-256-ctr', createHash('sha256').update(seed).digest(), counter);
  cipher.update(Buffer.alloc(from % BLOCK));
  for (let at = from; at < to; at += CHUNK) yield cipher.update(Buffer.alloc(Math.min(CHUNK, to - at)));
}

/** Returns the SHA-256 of the first `sizeBytes` in hexadecimal. */
export async function sha256OfKeyStream(seed: string, sizeBytes: number): Promise<string> {
  const hash = createHash('sha256');
  for (const chunk of keyStream(seed, 0, sizeBytes)) {
    hash.update(chunk);
    // Lets proxies in the same process work meanwhile.
    await turn();
  }
  return hash.digest('hex');
}
