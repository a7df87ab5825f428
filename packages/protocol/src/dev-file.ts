import { closeSync, constants, fstatSync, openSync, readFileSync, type Stats, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { z } from 'zod';
import { isLoopbackHost } from './loopback-host.ts';
import { describeIssues } from './codec.ts';

/** Written by `backhaul-server --dev` (mode 0600); used by command line and agents in the same working directory. */
export const DEV_FILE = '.backhaul/dev.json';

export const devFileSchema = z.object({
  server_url: z.url(),
  operator_token: z.string(),
  jwt_secret: z.string(),
  pid: z.int(),
});
export type DevFile = z.infer<typeof devFileSchema>;

/** A `.backhaul/dev.json` exists but cannot be used. The message says why, and contains no secret. */
export class DevFileError extends Error {
  override readonly name = 'DevFileError';
}

/**
 * Reads the file of `backhaul-server --dev`, for command line and agent. The file contains the address and the tokens of
 * the server, so it is used only if no other user can read or write it, and only for a server on this machine.
 *
 * @returns null if there is no such file.
 * @throws DevFileError
 */
export function readDevFile(path: string): DevFile | null {
  let file: number | null = null;
  try {
    const directory = dirname(path);
    requireOwn(statSync(directory), directory, 0o022);
    // Non-blocking, so that a named pipe does not hang the program.
    file = openSync(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
    const stats = fstatSync(file);
    if (!stats.isFile()) throw new DevFileError(`${path} is not a regular file`);
    requireOwn(stats, path, 0o077);
    return parseDevFile(readFileSync(file, 'utf8'), path);
  } catch (cause) {
    const errno = cause instanceof Error && 'code' in cause ? String(cause.code) : undefined;
    if (errno === undefined) throw cause;
    if (errno === 'ENOENT' || errno === 'ENOTDIR') return null;
    throw new DevFileError(`${path} cannot be read (${errno})`, { cause });
  } finally {
    if (file !== null) closeSync(file);
  }
}

/** Not checked on Windows, which provides neither owner nor mode. */
function requireOwn({ uid, mode }: Stats, path: string, forbidden: number): void {
  const ownUid = process.getuid?.();
  if (ownUid === undefined) return;
  if (uid !== ownUid && uid !== 0) {
    throw new DevFileError(`${path} belongs to another user (uid ${uid}) and is not trusted`);
  }
  if ((mode & forbidden) === 0) return;
  const shown = (mode & 0o777).toString(8);
  const access = (mode & 0o022) === 0 ? 'read' : 'written';
  throw new DevFileError(`${path} can be ${access} by other users (mode ${shown}) and is not trusted`);
}

function parseDevFile(text: string, path: string): DevFile {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    // The parser's message would contain text of the file, and with it secrets.
    throw new DevFileError(`${path} is not JSON`);
  }
  const parsed = devFileSchema.safeParse(json);
  if (!parsed.success) {
    throw new DevFileError(`${path} has an unexpected format: ${describeIssues(parsed.error)}`);
  }
  if (!isLoopbackHost(new URL(parsed.data.server_url).hostname)) {
    throw new DevFileError(`${path} names a server on another machine and is not trusted`);
  }
  return parsed.data;
}
