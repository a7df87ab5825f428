import { createCipheriv, createHash } from 'node:crypto';
import { open } from 'node:fs/promises';

const CHUNK = 1024 * 1024;

/**
 * Writes pseudo-random bytes, the same for the same seed.
 *
 * @returns their SHA-256, in hexadecimal.
 */
export async function randomFile(path: string, sizeBytes: number, seed = 'backhaul'): Promise<string> {
  const key = createHash('sha256').update(seed).digest();
  const cipher = createCipheriv('aes-256-ctr', key, Buffer.alloc(16));
  const hash = createHash('sha256');
  await using file = await open(path, 'w');
  for (let written = 0; written < sizeBytes; written += CHUNK) {
    const bytes = cipher.update(Buffer.alloc(Math.min(CHUNK, sizeBytes - written)));
    hash.update(bytes);
    await file.writeFile(bytes);
  }
  return hash.digest('hex');
}
