import { type FileHandle, realpath, stat } from 'node:fs/promises';
import { BackhaulError } from '@backhaul/protocol';

/**
 * For systems that do not tell where a descriptor points: resolve the path, and require that the same file lies
 * there as is open. A swap in between shows as another inode.
 */
export async function realPathOf(handle: FileHandle, path: string): Promise<string> {
  const realPath = await realpath(path);
  const [opened, found] = await Promise.all([
    handle.stat({ bigint: true }),
    stat(realPath, { bigint: true }),
  ]);
  if (opened.dev !== found.dev || opened.ino !== found.ino) {
    throw new BackhaulError('file_changed', 'The file was replaced while it was being opened.');
  }
  return realPath;
}
