import { readFile } from 'node:fs/promises';
import os from 'node:os';
import { z } from 'zod';
import { outputOf } from './output-of.ts';
import { peerVersions } from './peer-versions.ts';

/** What was measured, on what, beside what, and when. */
export const machineSchema = z.strictObject({
  /** The first processor's model. */
  cpu: z.string(),
  /** That may be used, hardware threads counted. */
  cores: z.number().int().positive(),
  memoryBytes: z.number().int().positive(),
  os: z.string(),
  kernel: z.string(),
  node: z.string(),
  /** Of Backhaul. */
  commit: z.strictObject({
    /** As `git describe` names it. */
    revision: z.string(),
    /** Programs had changes that are in no commit. */
    dirty: z.boolean(),
  }),
  /** Other tools and libraries on this machine, by name. */
  peers: z.record(z.string(), z.string()),
  measuredAt: z.iso.datetime(),
});
export type Machine = z.infer<typeof machineSchema>;

/** Of this moment. What cannot be told is `unknown`, and peers that are not there are left out. */
export async function describeMachine(options: { now: Date; signal: AbortSignal }): Promise<Machine> {
  const { now, signal } = options;
  const [commit, peers, osName] = await Promise.all([
    describeCommit(import.meta.dirname, signal),
    peerVersions({ env: process.env, signal }),
    nameOs(),
  ]);
  return {
    cpu: os.cpus()[0]?.model.trim() ?? 'unknown',
    cores: os.availableParallelism(),
    memoryBytes: os.totalmem(),
    os: osName,
    kernel: `${os.type()} ${os.release()} ${os.arch()}`,
    node: process.version,
    commit,
    peers,
    measuredAt: now.toISOString(),
  };
}

/** @param folder Anywhere in the checkout. */
export async function describeCommit(folder: string, signal: AbortSignal): Promise<Machine['commit']> {
  const options = { cwd: folder, signal };
  const revision = await outputOf('git', ['describe', '--always', '--abbrev=12'], options);
  // What is measured is these; saving results changes other files.
  const paths = [':/packages', ':/package-lock.json', ':/scripts/build.ts'];
  const changes = await outputOf('git', ['status', '--porcelain', '--', ...paths], options);
  return { revision: revision?.trim() ?? 'unknown', dirty: changes !== undefined && changes !== '' };
}

async function nameOs(): Promise<string> {
  const release = await readFile('/etc/os-release', 'utf8').catch(() => '');
  return /^PRETTY_NAME="?(.+?)"?$/m.exec(release)?.[1] ?? os.version();
}
