import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, statfs, truncate, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const IMAGE_BYTES = 4 * 1024 ** 3;
const FUSE_MAGIC = 0x65735546;
const FUSE_START_MS = 10_000;

export interface MountedFileSystem extends AsyncDisposable {
  /** Directory for the agent. */
  readonly directory: string;
  /** The same files outside the mount, for writers that bypass it; undefined if not possible. */
  readonly behind?: string;
}

export interface FileSystemKind {
  readonly name: string;
  /** Whether the agent trusts an unchanged ctime of a file at rest, and detects each change by it. */
  readonly trustsTimestamps?: boolean;
  /** @param base An empty directory for all files of the mount. @throws if mounting fails. */
  mount(base: string, python: string): Promise<MountedFileSystem>;
}

export const fileSystemKinds: readonly FileSystemKind[] = [
  {
    name: 'ext4, times of 1 s',
    // Inodes of 128 bytes cannot store fractions of a second.
    mount: (base) => mountExt4(base, ['-I', '128', '-O', '^has_journal']),
  },
  { name: 'ext4', trustsTimestamps: true, mount: (base) => mountExt4(base, ['-I', '256']) },
  {
    name: 'tmpfs',
    mount: async (base) => mountTmpfs(await directoryIn(base, 'mount')),
  },
  { name: 'FUSE', mount: mountFuse },
];

async function mountExt4(base: string, options: readonly string[]): Promise<MountedFileSystem> {
  const image = path.join(base, 'image');
  await writeFile(image, '');
  await truncate(image, IMAGE_BYTES);
  run('mkfs.ext4', ['-q', '-F', ...options, image]);
  const directory = await directoryIn(base, 'mount');
  // Unmounting also removes the loop device.
  run('mount', ['-o', 'loop', image, directory]);
  return mounted(directory);
}

async function mountFuse(base: string, python: string): Promise<MountedFileSystem> {
  const behind = await directoryIn(base, 'behind');
  const directory = await directoryIn(base, 'mount');
  const script = fileURLToPath(new URL('passthrough.py', import.meta.url));
  const child = spawn(python, [script, behind, directory], { stdio: 'inherit' });
  const { type: typeBefore } = await statfs(directory);
  const deadline = performance.now() + FUSE_START_MS;
  for (let type = typeBefore; type !== FUSE_MAGIC; { type } = await statfs(directory)) {
    if (child.exitCode !== null || performance.now() > deadline) {
      child.kill();
      throw new Error(
        `${python} ${script} mounted nothing; it needs libfuse2 and a Python with fusepy (FUSEPY)`,
      );
    }
    await sleep(50);
  }
  return { ...mounted(directory, child), behind };
}

/** @param directory An existing directory. */
export function mountTmpfs(directory: string): MountedFileSystem {
  run('mount', ['-t', 'tmpfs', '-o', 'size=4g', 'tmpfs', directory]);
  return mounted(directory);
}

function mounted(directory: string, server?: ChildProcess): MountedFileSystem {
  return {
    directory,
    async [Symbol.asyncDispose]() {
      const ended = server === undefined ? undefined : once(server, 'exit');
      run('umount', [directory]);
      await ended;
    },
  };
}

async function directoryIn(base: string, name: string): Promise<string> {
  const directory = path.join(base, name);
  await mkdir(directory);
  return directory;
}

function run(command: string, args: readonly string[]): void {
  execFileSync(command, args, { stdio: ['ignore', 'ignore', 'pipe'] });
}
