import type { FileHandle } from 'node:fs/promises';
import type { PlatformPath } from 'node:path';
import type { ErrorCode } from '@backhaul/protocol';

/**
 * What a file's timestamps are worth: `exact_times`, where each write moves the ctime; `shared`, where files also change
 * behind this system's page cache; `unknown`, where nothing is relied on.
 */
export type FileSystem = 'exact_times' | 'shared' | 'unknown';

/** Tells the mount of a path without links: a key, which another mount at the same point does not have, and the point. */
export type MountFinder = (path: string) => { readonly key: string; readonly point: string };

/**
 * Bytes that were written to TCP connections and are not yet acknowledged by the other end, by {@link queueKey}; null
 * where the system does not tell.
 */
export type SendQueues = ReadonlyMap<string, number> | null;

/** Of a connection, as `SendQueues` names it. Another one with the same two ports leads to another address: rare. */
export function queueKey(localPort: number, remotePort: number): string {
  return `${localPort}:${remotePort}`;
}

/** All that differs between operating systems, and nothing else. */
export interface Platform {
  /** Path arithmetic by this system's rules. */
  readonly path: PlatformPath;

  /** Flags to open a file so that a symbolic link fails and a FIFO or device does not block. */
  readonly fileFlags: number;
  readonly directoryFlags: number;

  /**
   * Whether this system cannot prove where an opened file lies. Another account that swaps a directory for a link
   * while the agent opens a path below it would then choose what is read, so the owner has to give
   * `--roots-are-private`.
   */
  readonly needsPrivateRoots: boolean;

  /** Whether a file's owner and mode say who may change it. */
  readonly hasOwners: boolean;

  /** Two spellings of one path give the same key, as far as spelling alone can tell. */
  readonly pathKey: (path: string) => string;

  /** Why no file here can have this absolute path, or null. */
  pathProblem(path: string): string | null;

  /** Whether the path lies where "files" are kernel interfaces: never read, whatever the allow-list says. */
  readonly isOffLimits: (path: string) => boolean;

  /** The same by the file system of what is open, wherever it is mounted. */
  isKernelInterface(handle: FileHandle): Promise<boolean>;

  /**
   * Tries at start, by opening a real file, whether `realPathOf` can be relied on.
   *
   * @returns What is wrong and what to do, or null.
   */
  startProblem(): Promise<string | null>;

  /**
   * Where the opened descriptor really is, symbolic links resolved.
   *
   * @param opened The path that was opened with the flags above; no part of it was a link when it was checked.
   * @throws BackhaulError `path_not_allowed` if the system no longer says.
   */
  realPathOf(handle: FileHandle, opened: string): Promise<string>;

  /** Reads what is mounted where, as it is now. Must touch none of the file systems: one of them may hang. */
  mountFinder(): MountFinder;

  /** A path that names the opened directory itself, even after its name was given to another one. */
  directoryPath(handle: FileHandle, realPath: string): Promise<string>;

  /** The file system that the opened file lies on, as far as it is known what it does. */
  fileSystemOf(handle: FileHandle): Promise<FileSystem>;

  /**
   * Opens the opened file once more, if possible even after its name moved. What comes may be another file. With
   * `direct` its bytes are read past the page cache, if this system can do that.
   *
   * @param opened The path that was opened.
   */
  openAgain(handle: FileHandle, opened: string, options: { readonly direct: boolean }): Promise<FileHandle>;

  /** The send queues of the connections of this network namespace. */
  sendQueues(): Promise<SendQueues>;

  /** Error codes of this system's own, e.g. of a locked file. */
  errorCode(errno: string): ErrorCode | null;
}
