import { readFile } from 'node:fs/promises';
import os from 'node:os';
import { z } from 'zod';
import { outputOf } from './output-of.ts';
import { peerVersions } from './peer-versions.ts';

/** The machine, commit, peers and time of a measurement. */
export const machineSchema = z.strictObject({
  /** Model name of the first processor. */
  cpu: z.string(),
  /** Number of usable hardware threads. */
  cores: z.number().int().positive(),
  memoryBytes: z.number().int().positive(),
  os: z.string(),
  kernel: z.string(),
  node: z.string(),
  /** Commit of Backhaul. */
  commit: z.strictObject({
    /** Name from `git describe`. */
    revision: z.string(),
    /** Whether the programs had uncommitted changes. */
    dirty: z.boolean(),
  }),
  /** Versions of other tools and libraries on this machine, by name. */
  peers: z.record(z.string(), z.string()),
  measuredAt: z.iso.datetime(),
});
export type Machine = z.infer<typeof machineSchema>;

/** Describes the current state. Unknown values are `unknown`, and missing peers are omitted. */
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

/** @param folder Any directory in the checkout. */
export async function describeCommit(folder: string, signal: AbortSignal): Promise<Machine['commit']> {
  const options = { cwd: folder, signal };
  const revision = await outputOf('git', ['describe', '--always', '--abbrev=12'], options);
  // Only these are measured; saving results changes other files.
  const paths = [':/packages', ':/bench', ':/test', ':/package-lock.json', ':/tools/build.ts'];
  const changes = await outputOf('git', ['status', '--porcelain', '--', ...paths], options);
  return { revision: revision?.trim() ?? 'unknown', dirty: changes !== undefined && changes !== '' };
}

async function nameOs(): Promise<string> {
  const release = await readFile('/etc/os-release', 'utf8').catch(() => '');
  return /^PRETTY_NAME="?(.+?)"?$/m.exec(release)?.[1] ?? os.version();
}
