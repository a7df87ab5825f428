import { createHmac } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
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

  constructor(path: string, options: ErrorOptions) {
    super(`no backhaul-server --dev runs: ${path} does not exist`, options);
  }
}

/** A short agent token, signed with the secret that `backhaul-server --dev` left in its working directory. @throws DevServerAway, Error */
export async function devToken(path: string, { clientId, wallSeconds }: DevTokenOptions): Promise<string> {
  const text = await readFile(path, 'utf8').catch((error: unknown) => {
    throw isMissing(error) ? new DevServerAway(path, { cause: error }) : error;
  });
  const { jwt_secret: secret } = parseDevFile(text, path);
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
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if (isMissing(error)) return null;
    throw new Error(`${path} cannot be read`, { cause: error });
  }
  return parseDevFile(text, path);
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

function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT';
}

function base64Json(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}
