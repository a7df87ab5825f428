import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

/** @returns Standard output; undefined if the program is missing or failed. @throws when aborted. */
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
