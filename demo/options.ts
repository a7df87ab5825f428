import { existsSync, statSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';

export const help = `Usage: npm run demo [-- OPTIONS]

Starts an object store, a server and an agent on this machine, pulls a file through them, compares the bytes and
cleans up.

  --file PATH   pull this file instead of 100 MiB of random bytes
  --keep        leave everything running, and say how to play with it
  --help        this text

Examples:
  npm run demo
  npm run demo -- --file ~/Downloads/big.iso
  npm run demo -- --keep
`;

export interface DemoOptions {
  /** Absolute path; undefined for a file of random bytes. */
  readonly file: string | undefined;
  readonly keep: boolean;
}

/** @returns undefined if only the help was requested. @throws Error that names what to change. */
export function parseDemoOptions(argv: readonly string[], cwd: string): DemoOptions | undefined {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      file: { type: 'string' },
      keep: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.help) return undefined;
  const file = values.file === undefined ? undefined : path.resolve(cwd, values.file);
  if (file !== undefined && (!existsSync(file) || !statSync(file).isFile())) {
    throw new Error(`--file ${values.file}: there is no such file`);
  }
  return { file, keep: values.keep };
}
