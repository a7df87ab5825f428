import type { FileHandle } from 'node:fs/promises';
import type { PlatformPath } from 'node:path';
import type { ErrorCode } from '@backhaul/protocol';

/**
 * Reliability of a file's timestamps: `exact_times` if each write changes the ctime; `shared` if files can also change
 * behind this system's page cache; `unknown` if nothing can be relied on.
 */
export type FileSystem = 'exact_times' | 'shared' | 'unknown';

/** Finds the mount of a path without links. The key differs between two mounts at the same point. */
export type MountFinder = (path: string) => { readonly key: string; readonly point: string };

/**
 * Bytes written to TCP connections and not yet acknowledged by the peer, by {@link queueKey}; null if the system does not
 * report them.
 */
export type SendQueues = ReadonlyMap<string, number> | null;

/** Key of a connection in `SendQueues`. Two connections to different addresses can share it, which is rare. */
export function queueKey(localPort: number, remotePort: number): string {
  return `${localPort}:${remotePort}`;
}

/** Everything that differs between operating systems. */
export interface Platform {
  /** Path functions with this system's rules. */
  readonly path: PlatformPath;

  /** Flags to open a file so that a symbolic link fails and a FIFO or device does not block. */
  readonly fileFlags: number;
  readonly directoryFlags: number;

  /**
   * Whether this system cannot prove where an opened file is. Another account could then choose what is read, by replacing
   * a directory with a link while the agent opens a path below it. So the owner has to give `--roots-are-private`.
   */
  readonly needsPrivateRoots: boolean;

  /** Whether a file's owner and mode determine who can change it. */
  readonly hasOwners: boolean;

  /** Returns the same key for different spellings of a path, as far as the spelling alone determines it. */
  readonly pathKey: (path: string) => string;

  /** Why this absolute path is invalid on this system; null if it is valid. */
  pathProblem(path: string): string | null;

  /** Whether "files" at this path are kernel interfaces, which are never read, whatever the allow-list says. */
  readonly isOffLimits: (path: string) => boolean;

  /** The same for an open file, by its file system, wherever that is mounted. */
  isKernelInterface(handle: FileHandle): Promise<boolean>;

  /**
   * Checks at startup, by opening a real file, whether `realPathOf` is reliable.
   *
   * @returns The problem and its fix; null if there is none.
   */
  startProblem(): Promise<string | null>;

  /**
   * Returns the real path of an open descriptor.
   *
   * @param opened The path that was opened with the flags above; no component of it was a link when it was checked.
   * @throws BackhaulError `path_not_allowed` if the system cannot tell.
   */
  realPathOf(handle: FileHandle, opened: string): Promise<string>;

  /** Reads the current mount table. Must not access any of the file systems, because one of them may hang. */
  mountFinder(): MountFinder;

  /** Returns a path of the open directory itself, which stays valid if another directory takes its name. */
  directoryPath(handle: FileHandle, realPath: string): Promise<string>;

  /** Returns the kind of file system of an open file. */
  fileSystemOf(handle: FileHandle): Promise<FileSystem>;

  /**
   * Opens an open file again, if possible even after it was renamed. The result may be a different file. `direct` bypasses
   * the page cache, if this system supports it.
   *
   * @param opened The path that was opened.
   */
  reopen(handle: FileHandle, opened: string, options: { readonly direct: boolean }): Promise<FileHandle>;

  /** Returns the send queues of all TCP connections of this network namespace. */
  sendQueues(): Promise<SendQueues>;

  /** Maps error codes specific to this system, e.g. of a locked file; null for others. */
  errorCode(errno: string): ErrorCode | null;
}
