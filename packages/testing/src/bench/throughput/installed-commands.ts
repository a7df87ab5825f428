import { execFile } from 'node:child_process';
import path from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

export interface InstalledCommand {
  /** Absolute. */
  readonly command: string;
  /** The first line that it tells of itself. */
  readonly version: string;
}

/** Every program of that name along PATH, in its order; of several that are the same version the first. */
export async function installedCommands(
  name: string,
  args: readonly string[],
  { signal }: { signal: AbortSignal },
): Promise<InstalledCommand[]> {
  const found = new Map<string, InstalledCommand>();
  for (const folder of (process.env['PATH'] ?? '').split(path.delimiter).filter((entry) => entry !== '')) {
    const command = path.join(folder, name);
    const version = await versionOf(command, args, { signal });
    if (version !== undefined && !found.has(version)) found.set(version, { command, version });
  }
  return [...found.values()];
}

/** @returns undefined if there is no such program. */
async function versionOf(
  command: string,
  args: readonly string[],
  { signal }: { signal: AbortSignal },
): Promise<string | undefined> {
  try {
    const { stdout } = await run(command, args, { signal });
    return stdout.split('\n')[0]?.trim();
  } catch (error) {
    if (error instanceof Error && 'code' in error && (error.code === 'ENOENT' || error.code === 'ENOTDIR')) {
      return undefined;
    }
    throw error;
  }
}
