import { execFile } from 'node:child_process';
import path from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const DEADLINE_MS = 300_000;

/** PATH of a user's shell with Node.js 24 first. Excludes this repository's `node_modules/.bin`. */
export const plainPath = [
  path.dirname(process.execPath),
  ...(process.env['PATH'] ?? '')
    .split(path.delimiter)
    .filter((folder) => !folder.includes(`node_modules${path.sep}.bin`)),
].join(path.delimiter);

/**
 * Runs npm or npx as a user does in a directory, without the settings of the surrounding `npm run`.
 *
 * @returns Its standard output.
 * @throws Error with its output if it fails.
 */
export async function plainNpm(
  name: 'npm' | 'npx',
  args: readonly string[],
  { cwd }: { readonly cwd: string },
): Promise<string> {
  const { stdout } = await run(name, args, { cwd, env: userEnvironment(), timeout: DEADLINE_MS });
  return stdout;
}

const kept: ReadonlySet<string> = new Set([
  'npm_config_registry',
  'npm_config_cache',
  'npm_config_userconfig',
]);

function userEnvironment(): NodeJS.ProcessEnv {
  const entries = Object.entries(process.env).filter(([name]) => !name.startsWith('npm_') || kept.has(name));
  return { ...Object.fromEntries(entries), PATH: plainPath };
}
