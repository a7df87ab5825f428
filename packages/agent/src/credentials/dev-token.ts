import { createHmac } from 'node:crypto';
import { closeSync, fstatSync, openSync, readFileSync, type Stats, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { describeIssues, type DevFile, devFileSchema, TOKEN_ISSUER, tokenKinds } from '@backhaul/protocol';
import { isLoopbackHost } from '../policy/addresses.ts';

/** Signed anew for each connection, so it need not live long. */
const LIFETIME_SECONDS = 24 * 3600;

interface DevTokenOptions {
  readonly clientId: string;
  readonly wallSeconds: () => number;
}

/** A server in dev mode removes its file when it ends; it is likely to come back. */
export class DevServerAway extends Error {
  override readonly name = 'DevServerAway';

  constructor(path: string) {
    super(`no backhaul-server --dev runs: ${path} does not exist`);
  }
}

/**
 * A short agent token, signed with the secret that `backhaul-server --dev` left in its working directory.
 *
 * @throws DevServerAway, Error
 */
export async function devToken(path: string, { clientId, wallSeconds }: DevTokenOptions): Promise<string> {
  const file = readDevFile(path);
  if (file === null) throw new DevServerAway(path);
  const { jwt_secret: secret } = file;
  const { audience, type } = tokenKinds.agent;
  const issuedAt = Math.floor(wallSeconds());
  const claims = {
    iss: TOKEN_ISSUER,
    aud: audience,
    sub: clientId,
    iat: issuedAt,
    exp: issuedAt + LIFETIME_SECONDS,
  };
  const signed = `${base64Json({ alg: 'HS256', typ: type })}.${base64Json(claims)}`;
  return `${signed}.${createHmac('sha256', secret).update(signed).digest('base64url')}`;
}

/** @returns null if there is no such file. @throws Error if there is one that cannot be used. */
export function readDevFile(path: string): DevFile | null {
  let file: number | null = null;
  try {
    const directory = dirname(path);
    requireOwn(statSync(directory), directory);
    file = openSync(path, 'r');
    requireOwn(fstatSync(file), path);
    return parseDevFile(readFileSync(file, 'utf8'), path);
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return null;
    if (error instanceof Error && !('code' in error)) throw error;
    throw new Error(`${path} cannot be read`, { cause: error });
  } finally {
    if (file !== null) closeSync(file);
  }
}

/** Whoever can write the file chooses the server, and so who is served. Windows tells neither owner nor mode. */
function requireOwn({ uid, mode }: Stats, path: string): void {
  const ownUid = process.getuid?.();
  if (ownUid === undefined) return;
  const advice = 'start backhaul-server --dev anew as the user that the agent runs as, or give --token-file';
  if (uid !== ownUid && uid !== 0) {
    throw new Error(`${path} belongs to another user (uid ${uid}) and is not trusted; ${advice}`);
  }
  if ((mode & 0o022) !== 0) {
    const shown = (mode & 0o777).toString(8);
    throw new Error(`${path} can be written by other users (mode ${shown}) and is not trusted; ${advice}`);
  }
}

/** The file holds a secret that opens the whole server: it is used for a server on this machine and no other. */
function parseDevFile(text: string, path: string): DevFile {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw new Error(`${path} is not JSON; start backhaul-server --dev again`);
  }
  const parsed = devFileSchema.safeParse(json);
  if (!parsed.success) throw new Error(`${path}: ${describeIssues(parsed.error)}`);
  if (!isLoopbackHost(new URL(parsed.data.server_url).hostname)) {
    throw new Error(`${path} names a server on another machine; pass --token-file for that one`);
  }
  return parsed.data;
}

function isErrno(error: unknown, errno: string): boolean {
  return error instanceof Error && 'code' in error && error.code === errno;
}

function base64Json(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}
