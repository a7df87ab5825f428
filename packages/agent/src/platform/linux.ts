import { constants, readFileSync } from 'node:fs';
import { open, readlink, stat, statfs } from 'node:fs/promises';
import { posix } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { BackhaulError } from '@backhaul/protocol';
import { codeOf } from '../errno.ts';
import { kernelFileSystems, linuxFileSystem } from './linux-file-systems.ts';
import { mountByName, mountFinder } from './mount-table.ts';
import { type Platform, queueKey, type SendQueues } from './platform.ts';

const { O_RDONLY, O_NONBLOCK, O_NOFOLLOW, O_DIRECTORY, O_DIRECT } = constants;

/** Pause between two reads of the connection table. A table of 50,000 connections takes 40 ms to read. */
const PAUSE_MS_PER_CONNECTION = 0.02;
const MAX_PAUSE_MS = 1000;
/** Approximate length of a line of the table. */
const BYTES_PER_CONNECTION = 150;
/**
 * The kernel returns the table in pieces of about a page. Parsing each piece separately creates 0.7 MB of garbage for 1,100
 * connections, parsing the table as one string 2.5 MB, once a second while a client follows an upload.
 */
const PIECE_BYTES = 8192;

export const linux: Platform = {
  path: posix,
  fileFlags: O_RDONLY | O_NONBLOCK | O_NOFOLLOW,
  directoryFlags: O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_DIRECTORY,
  needsPrivateRoots: false,
  hasOwners: true,
  pathKey: (path) => path,
  pathProblem: () => null,
  // `/proc/self/environ` is reported as a regular file of size 0; reading it would reveal the agent's token.
  isOffLimits: (path) => /^\/(?:proc|sys|dev)(?:\/|$)/.test(path),
  async isKernelInterface({ fd }) {
    const { type } = await statfs(descriptorPath(fd), { bigint: true });
    // A signed long, with 32 bits on some machines.
    return kernelFileSystems.has(Number(BigInt.asUintN(32, type)));
  },
  mountFinder() {
    try {
      return mountFinder(readFileSync('/proc/self/mountinfo', 'utf8'));
    } catch {
      return mountByName;
    }
  },
  async startProblem() {
    const problem = await descriptorProblem(process.execPath);
    return problem === null
      ? null
      : `/proc/self/fd does not work (${problem}). Without it the agent cannot prove that an opened file is covered by --allow or --file. Mount /proc, e.g. with "mount -t proc proc /proc" in a chroot, and restart the agent.`;
  },
  async realPathOf({ fd }) {
    try {
      return await readlink(descriptorPath(fd));
    } catch (cause) {
      // Must not fall back to the path, which may point elsewhere by now.
      throw new BackhaulError(
        'path_not_allowed',
        'The agent cannot prove where the file is, because /proc/self/fd no longer works: mount /proc on its machine.',
        { cause },
      );
    }
  },
  directoryPath: ({ fd }) => Promise.resolve(descriptorPath(fd)),
  async fileSystemOf({ fd }) {
    const { type } = await statfs(descriptorPath(fd), { bigint: true });
    return linuxFileSystem(Number(BigInt.asUintN(32, type)));
  },
  // This link always points to the open file, whatever its name points to by now, so it is safe to follow.
  reopen: ({ fd }, _opened, { direct }) =>
    open(descriptorPath(fd), O_RDONLY | O_NONBLOCK | (direct ? O_DIRECT : 0)),
  sendQueues: async () => (await readTables()).queues,
  errorCode: () => null,
};

interface SendQueueTables {
  /** Non-empty queues. */
  readonly queues: SendQueues;
  /** Approximate number of connections, including those with an empty queue. */
  readonly connections: number;
}

export async function readSendQueues(): Promise<SendQueueTables> {
  const queues = new Map<string, number>();
  const bytes4 = await readTable('tcp', queues).catch(() => null);
  const bytes6 = await readTable('tcp6', queues).catch(() => 0);
  const connections = ((bytes4 ?? 0) + bytes6) / BYTES_PER_CONNECTION;
  return { queues: bytes4 === null ? null : queues, connections };
}

/** Adds the queues of a table. @returns The size of the table in bytes. */
async function readTable(table: 'tcp' | 'tcp6', queues: Map<string, number>): Promise<number> {
  await using file = await open(`/proc/self/net/${table}`);
  const piece = Buffer.allocUnsafeSlow(PIECE_BYTES);
  let size = 0;
  for (let rest = ''; ;) {
    const { bytesRead } = await file.read(piece, 0, PIECE_BYTES, null);
    if (bytesRead === 0) return size;
    size += bytesRead;
    const text = rest + piece.toString('latin1', 0, bytesRead);
    const end = text.lastIndexOf('\n') + 1;
    addSendQueues(text.slice(0, end), queues);
    rest = text.slice(end);
  }
}

/**
 * Shares one read among all callers that arrive before it starts, so that no caller gets data from before its call. A
 * pause follows each read; callers that arrive during the pause wait for the next read.
 */
export function sharedReading<Result>(
  read: () => Promise<Result>,
  pauseMs: (read: Result) => number,
): () => Promise<Result> {
  let next: Promise<Result> | null = null;
  let pause: Promise<unknown> = Promise.resolve();
  return () => {
    next ??= pause.then(() => {
      next = null;
      const reading = read();
      pause = reading.then(
        (result) => delay(pauseMs(result), undefined, { ref: false }),
        () => undefined,
      );
      return reading;
    });
    return next;
  };
}

/** Parses lines such as `  0: 0100007F:1F90 0100007F:C350 01 00012345:00000000 …`: both ports, then `tx_queue`. */
function addSendQueues(lines: string, queues: Map<string, number>): void {
  const line = /^ *\d+: [0-9A-F]+:([0-9A-F]{4}) [0-9A-F]+:([0-9A-F]{4}) [0-9A-F]{2} (?!0{8})([0-9A-F]{8}):/gm;
  for (const [, local = '', remote = '', queued = ''] of lines.matchAll(line)) {
    const key = queueKey(Number.parseInt(local, 16), Number.parseInt(remote, 16));
    queues.set(key, Math.max(queues.get(key) ?? 0, Number.parseInt(queued, 16)));
  }
}

const readTables = sharedReading(readSendQueues, ({ connections }) =>
  Math.min(MAX_PAUSE_MS, connections * PAUSE_MS_PER_CONNECTION),
);

function descriptorPath(fd: number): string {
  return `/proc/self/fd/${fd}`;
}

/** Why the path of an open file cannot be determined from its descriptor; null if it can. */
async function descriptorProblem(path: string): Promise<string | null> {
  await using handle = await open(path);
  try {
    const link = await readlink(descriptorPath(handle.fd));
    const [opened, found] = await Promise.all([handle.stat({ bigint: true }), stat(link, { bigint: true })]);
    return opened.dev === found.dev && opened.ino === found.ino
      ? null
      : `it points to ${link} instead of ${path}`;
  } catch (error) {
    return codeOf(error) ?? String(error);
  }
}
