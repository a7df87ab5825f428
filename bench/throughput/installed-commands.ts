import { execFile } from 'node:child_process';
import path from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

export interface InstalledCommand {
  /** Absolute path. */
  readonly command: string;
  /** First line of its version output. */
  readonly version: string;
}

/** Returns every program of that name in PATH order; only the first of equal versions. */
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

/** @returns undefined if the program does not exist. */
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
