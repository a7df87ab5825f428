import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readFile, readdir, symlink } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { plainNpm } from '../harness/installation/plain-npm.ts';

const root = fileURLToPath(new URL('../../', import.meta.url));
const run = promisify(execFile);

const shims = {
  'backhaul-server': 'packages/server/bin/backhaul-server.js',
  'backhaul-agent': 'packages/agent/bin/backhaul-agent.js',
  backhaul: 'packages/cli/bin/backhaul.js',
} as const;

/** The previous release, from this repository's history. */
export interface PreviousRelease {
  readonly version: string;
  /** A folder to start its programs from, like a `node_modules/.bin`. */
  readonly bin: string;
}

/**
 * Checks out its sources and runs them unchanged. They share the packages installed here if the lock file is the same;
 * otherwise `npm ci` installs their own.
 *
 * @param directory Is created.
 * @param repository Repository with the history; by default this one.
 * @throws Error if the history does not contain it.
 */
export async function previousRelease(directory: string, repository = root): Promise<PreviousRelease> {
  const text = await readFile(path.join(repository, 'previous-release.json'), 'utf8');
  const { version, commit } = JSON.parse(text) as { version: string; commit: string };
  await requireCommit(repository, { version, commit });
  await mkdir(directory);
  await unpack(repository, { commit, directory });
  const [own, ours] = await Promise.all([lockFile(directory), lockFile(root)]);
  if (own === ours) await shareModules(directory);
  else await plainNpm('npm', ['ci', '--no-audit', '--no-fund', '--prefer-offline'], { cwd: directory });
  const bin = path.join(directory, 'bin');
  await mkdir(bin);
  for (const [name, shim] of Object.entries(shims)) {
    await symlink(path.join(directory, shim), path.join(bin, name));
  }
  return { version, bin };
}

async function requireCommit(
  repository: string,
  { version, commit }: { version: string; commit: string },
): Promise<void> {
  try {
    await run('git', ['cat-file', '-e', `${commit}^{commit}`], { cwd: repository });
  } catch (cause) {
    throw new Error(
      `the history of this clone does not reach back to release ${version} (${commit}). Get all of it: git fetch --unshallow; in CI, check out with fetch-depth: 0`,
      { cause },
    );
  }
}

async function unpack(
  repository: string,
  { commit, directory }: { commit: string; directory: string },
): Promise<void> {
  const archive = spawn('git', ['archive', '--format=tar', commit], {
    cwd: repository,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const tar = spawn('tar', ['-x', '-C', directory], { stdio: ['pipe', 'inherit', 'inherit'] });
  archive.stdout.pipe(tar.stdin);
  const ends = await Promise.all([once(archive, 'close'), once(tar, 'close')]);
  if (ends.some(([code]) => code !== 0)) throw new Error(`${commit} could not be unpacked`);
}

async function lockFile(directory: string): Promise<string> {
  return await readFile(path.join(directory, 'package-lock.json'), 'utf8');
}

/** Shares everything except the packages of this repository, which are replaced by its own. */
async function shareModules(directory: string): Promise<void> {
  const ours = path.join(root, 'node_modules');
  const modules = path.join(directory, 'node_modules');
  await mkdir(path.join(modules, '@backhaul'), { recursive: true });
  for (const name of await readdir(ours)) {
    if (name === '@backhaul' || name in shims || name === 'backhaul-object-store') continue;
    await symlink(path.join(ours, name), path.join(modules, name));
  }
  for (const name of ['protocol', 'client']) {
    await symlink(path.join(directory, 'packages', name), path.join(modules, '@backhaul', name));
  }
}
