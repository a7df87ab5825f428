import { readFile, realpath, stat, statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import { type AgentClaims, agentClaimsSchema } from '@backhaul/protocol';
import { codeOf } from '../errno.ts';
import { devToken } from './dev-token.ts';

/** Returns the token for the next connection. Called for each connection, because the file may have been replaced. */
export type TokenSource = () => Promise<string>;

export type TokenSetting =
  | { readonly kind: 'given'; readonly token: string }
  | { readonly kind: 'file'; readonly path: string }
  | { readonly kind: 'dev_file'; readonly path: string };

interface TokenSourceOptions {
  readonly clientId: string;
  /** Unix time in seconds. */
  readonly wallSeconds: () => number;
}

/** Errors name the fix and never contain the token. */
export function tokenSource(setting: TokenSetting, options: TokenSourceOptions): TokenSource {
  switch (setting.kind) {
    case 'given':
      return () => Promise.resolve(setting.token);
    case 'file':
      return () => tokenFromFile(setting.path);
    case 'dev_file':
      return () => devToken(setting.path, options);
    default:
      return setting satisfies never;
  }
}

async function tokenFromFile(path: string): Promise<string> {
  await requirePrivate(path, { name: `--token-file ${path}` });
  const text = await readFile(path, 'utf8').catch((error: unknown) => {
    const errno = codeOf(error) ?? 'unreadable';
    throw new Error(`--token-file ${path} cannot be read (${errno})`, { cause: error });
  });
  const token = text.trim();
  if (!isToken(token)) throw new Error(`--token-file ${path} must contain only a token`);
  return token;
}

/** tmpfs and ramfs. Kubernetes and Docker Swarm mount secrets on these, with mode 0444 or 0644. */
const memoryFileSystems: ReadonlySet<number> = new Set([0x0102_1994, 0x8584_58f6]);

export class AccessibleToOthers extends Error {
  override readonly name = 'AccessibleToOthers';
}

/**
 * Refuses a token file that every user of the machine can read or write. Group access is allowed, as for service files
 * and systemd's credentials. Windows has no such modes.
 */
export async function requirePrivate(path: string, { name }: { name: string }): Promise<void> {
  if (process.getuid === undefined) return;
  // An unreadable path is reported by the read.
  const real = await realpath(path).catch(() => undefined);
  if (real === undefined) return;
  const { mode } = await stat(real);
  if ((mode & 0o006) === 0 || !(await canOthersReach(real))) return;
  if (memoryFileSystems.has((await statfs(real)).type)) return;
  throw new AccessibleToOthers(
    `${name} is accessible to every user of this machine (mode ${(mode & 0o777).toString(8)}): chmod 600 ${path}`,
  );
}

/** Whether other users can reach the file through all of its directories. */
async function canOthersReach(realPath: string): Promise<boolean> {
  for (let at = dirname(realPath); ; at = dirname(at)) {
    const { mode } = await stat(at);
    if ((mode & 0o001) === 0) return false;
    if (at === dirname(at)) return true;
  }
}

/** Whether a text is valid in an Authorization header (RFC 6750, section 2.1). */
export function isToken(text: string): boolean {
  return /^[A-Za-z0-9._~+/-]+=*$/.test(text);
}

/** Subject claim of a token, null without one. Not verified: use it only for messages to the owner. */
export function subjectOf(token: string): string | null {
  return agentClaimsSchema.pick({ sub: true }).safeParse(payloadOf(token)).data?.sub ?? null;
}

const datedSchema = agentClaimsSchema.pick({ sub: true, iat: true });

/** Subject and issue time of a token; null without them. Not verified. */
export function claimsOf(token: string): Pick<AgentClaims, 'sub' | 'iat'> | null {
  return datedSchema.safeParse(payloadOf(token)).data ?? null;
}

function payloadOf(token: string): unknown {
  try {
    return JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString('utf8'));
  } catch {
    return null;
  }
}
