import { createHmac } from 'node:crypto';
import { TOKEN_ISSUER, tokenKinds } from '@backhaul/protocol';
import { type DevFile, DevFileError, readDevFile } from '@backhaul/protocol/dev-file';

/** A new token is signed for each connection, so it need not live long. */
const LIFETIME_SECONDS = 24 * 3600;

interface DevTokenDeps {
  readonly clientId: string;
  readonly wallSeconds: () => number;
}

/** No server in dev mode is running: it removes its file when it exits. It may be started again. */
export class DevServerNotRunning extends Error {
  override readonly name = 'DevServerNotRunning';

  constructor(path: string) {
    super(`backhaul-server --dev is not running: ${path} does not exist`);
  }
}

/**
 * Creates a short-lived agent token, signed with the secret that `backhaul-server --dev` stores in its working directory.
 *
 * @throws DevServerNotRunning, Error
 */
export async function devToken(path: string, { clientId, wallSeconds }: DevTokenDeps): Promise<string> {
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

/** @throws DevServerNotRunning; Error with the fix if the file must not be used. */
export function readOwnDevFile(path: string): DevFile {
  let file: DevFile | null;
  try {
    file = readDevFile(path);
  } catch (cause) {
    if (!(cause instanceof DevFileError)) throw cause;
    const advice = 'restart backhaul-server --dev as the same user as the agent, or use --token-file';
    throw new Error(`${cause.message}; ${advice}`, { cause });
  }
  if (file === null) throw new DevServerNotRunning(path);
  return file;
}

function base64Json(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}
