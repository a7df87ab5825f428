import { createHmac } from 'node:crypto';
import { type DevFile, TOKEN_ISSUER, tokenKinds } from '@backhaul/protocol';
import { DevFileError, readDevFile } from '@backhaul/protocol/dev-file';

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
  const { jwt_secret: secret } = readOwnDevFile(path);
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

/** @throws DevServerAway; Error if there is a file that is not to be used, with what to do. */
export function readOwnDevFile(path: string): DevFile {
  let file: DevFile | null;
  try {
    file = readDevFile(path);
  } catch (cause) {
    if (!(cause instanceof DevFileError)) throw cause;
    const advice = 'restart backhaul-server --dev as the user that the agent runs as, or give --token-file';
    throw new Error(`${cause.message}; ${advice}`, { cause });
  }
  if (file === null) throw new DevServerAway(path);
  return file;
}

function base64Json(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}
