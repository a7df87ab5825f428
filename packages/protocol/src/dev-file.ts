import { closeSync, constants, fstatSync, openSync, readFileSync, type Stats, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { describeIssues } from './message-codec.ts';
import { isLoopbackHost } from './loopback-host.ts';
import { type DevFile, devFileSchema } from './rest/dev-file.ts';

/** A `.backhaul/dev.json` that is there and is not used. The message says why, and repeats no secret. */
export class DevFileError extends Error {
  override readonly name = 'DevFileError';
}

/**
 * Reads what `backhaul-server --dev` left, for command line and agent alike. The file chooses the server that is talked
 * to, and opens it: so it is read only if no other user can have written it, or can read it, and for a server on
 * this machine.
 *
 * @returns null if there is no such file.
 * @throws DevFileError
 */
export function readDevFile(path: string): DevFile | null {
  let file: number | null = null;
  try {
    const directory = dirname(path);
    requireOwn(statSync(directory), directory, 0o022);
    // A named pipe must not hold the program up.
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

/** Windows tells neither owner nor mode. */
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
    // The parser's message would repeat the file's text, and with it secrets.
    throw new DevFileError(`${path} is not JSON`);
  }
  const parsed = devFileSchema.safeParse(json);
  if (!parsed.success) {
    throw new DevFileError(`${path} is not what the server writes: ${describeIssues(parsed.error)}`);
  }
  if (!isLoopbackHost(new URL(parsed.data.server_url).hostname)) {
    throw new DevFileError(`${path} names a server on another machine and is not trusted`);
  }
  return parsed.data;
}
