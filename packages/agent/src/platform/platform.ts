import type { FileHandle } from 'node:fs/promises';
import type { PlatformPath } from 'node:path';
import type { ErrorCode } from '@backhaul/protocol';

/** All that differs between operating systems, and nothing else. */
export interface Platform {
  /** Path arithmetic by this system's rules. */
  readonly path: PlatformPath;

  /** Flags to open a file so that a symbolic link fails and a FIFO or device does not block. */
  readonly fileFlags: number;
  readonly directoryFlags: number;

  /** Two spellings of one path give the same key, as far as spelling alone can tell. */
  pathKey(path: string): string;

  /** Why no file here can have this absolute path, or null. */
  pathProblem(path: string): string | null;

  /** Whether the path lies where "files" are kernel interfaces: never read, whatever the allow-list says. */
  isOffLimits(path: string): boolean;

  /** Where the opened descriptor really is, symbolic links resolved; `path` is what was opened. */
  whereIs(handle: FileHandle, path: string): Promise<string>;

  /** A path that names the opened directory, if possible even after its name moved. */
  directoryPath(handle: FileHandle, realPath: string): string;

  /** Error codes of this system's own, e.g. of a locked file. */
  errorCode(errno: string): ErrorCode | null;
}
