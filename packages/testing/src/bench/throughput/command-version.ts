import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** The first line that a command tells of itself; undefined if there is no such command. */
export async function commandVersion(
  command: string,
  args: readonly string[],
  { signal }: { signal: AbortSignal },
): Promise<string | undefined> {
  try {
    const { stdout } = await run(command, args, { signal });
    return stdout.split('\n')[0]?.trim();
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
}
