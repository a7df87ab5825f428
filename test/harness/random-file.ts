import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';
import { keyStream } from './key-stream.ts';

/**
 * Writes pseudo-random bytes; equal seeds give equal bytes.
 *
 * @returns The SHA-256 in hexadecimal.
 */
export async function randomFile(path: string, sizeBytes: number, seed = 'backhaul'): Promise<string> {
  const hash = createHash('sha256');
  await using file = await open(path, 'w');
  for (const bytes of keyStream(seed, 0, sizeBytes)) {
    hash.update(bytes);
    await file.writeFile(bytes);
  }
  return hash.digest('hex');
}
