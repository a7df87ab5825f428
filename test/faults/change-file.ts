import { appendFile, chmod, open, rename, stat, truncate, utimes, writeFile } from 'node:fs/promises';

/** Uses whole seconds, so that the time can be restored exactly. */
export const OLD_TIME = new Date(1_700_000_000_000);

export interface FileChange {
  readonly how: string;
  readonly apply: (path: string) => Promise<void>;
}

/** Operations that create another version of a file. Its mtime must be {@link OLD_TIME} before. */
export const changes: readonly FileChange[] = [
  { how: 'appended to', apply: (path) => appendFile(path, Buffer.alloc(100_000, 1)) },
  { how: 'truncated', apply: (path) => truncate(path, 1_000_000) },
  { how: 'replaced by rename', apply: replace },
  { how: 'rewritten at the same size with its mtime restored', apply: rewrite },
];

export const harmless: FileChange = { how: 'given other permissions', apply: (path) => chmod(path, 0o600) };

async function replace(path: string): Promise<void> {
  const { size } = await stat(path);
  await writeFile(`${path}.new`, Buffer.alloc(size, 2));
  await utimes(`${path}.new`, OLD_TIME, OLD_TIME);
  await rename(`${path}.new`, path);
}

async function rewrite(path: string): Promise<void> {
  const { size } = await stat(path);
  await using file = await open(path, 'r+');
  const block = Buffer.alloc(1024 * 1024, 3);
  for (let at = 0; at < size; at += block.length) {
    await file.write(block, 0, Math.min(block.length, size - at), at);
  }
  await file.utimes(OLD_TIME, OLD_TIME);
}
