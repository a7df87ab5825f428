import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

/** @returns What the program printed, undefined if there is none or it failed. @throws when aborted. */
export async function outputOf(
  file: string,
  args: readonly string[],
  options: { cwd?: string; env?: NodeJS.ProcessEnv; signal: AbortSignal },
): Promise<string | undefined> {
  try {
    const { stdout } = await promisify(execFile)(file, args, { ...options, timeout: 20_000 });
    return stdout;
  } catch {
    options.signal.throwIfAborted();
    return undefined;
  }
}
