import { readFile, realpath, stat, statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import { type AgentClaims, agentClaimsSchema } from '@backhaul/protocol';
import { devToken } from './dev-token.ts';

/** Gives the token for the next connection; asked anew each time, because a file may have been replaced. */
export type TokenSource = () => Promise<string>;

export type TokenSetting =
  | { readonly kind: 'given'; readonly token: string }
  | { readonly kind: 'file'; readonly path: string }
  | { readonly kind: 'dev_file'; readonly path: string };

interface TokenSourceOptions {
  readonly clientId: string;
  /** Seconds since 1970, by the wall clock. */
  readonly wallSeconds: () => number;
}

/** The errors say what to change, and never repeat the token. */
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
  await requirePrivate(path, { what: `--token-file ${path}` });
  const text = await readFile(path, 'utf8').catch((error: unknown) => {
    const errno = error instanceof Error && 'code' in error ? String(error.code) : 'unreadable';
    throw new Error(`--token-file ${path} cannot be read (${errno})`, { cause: error });
  });
  const token = text.trim();
  if (!isToken(token)) throw new Error(`--token-file ${path} does not hold a token alone`);
  return token;
}

/** Secrets of Kubernetes and Docker Swarm, which are mounted into a container with mode 0444 or 0644: tmpfs and ramfs. */
const memoryFileSystems: ReadonlySet<number> = new Set([0x0102_1994, 0x8584_58f6]);

export class OpenToOthers extends Error {
  override readonly name = 'OpenToOthers';
}

/**
 * A token that every user of the machine can read is theirs as well. The group may read it, as with a service's own files
 * and systemd's credentials. Windows has no such modes.
 */
export async function requirePrivate(path: string, { what }: { what: string }): Promise<void> {
  if (process.getuid === undefined) return;
  // What cannot be looked at is reported by the read.
  const real = await realpath(path).catch(() => undefined);
  if (real === undefined) return;
  const { mode } = await stat(real);
  if ((mode & 0o006) === 0 || !(await canOthersReach(real))) return;
  if (memoryFileSystems.has((await statfs(real)).type)) return;
  throw new OpenToOthers(
    `${what} is open to every user of this machine (mode ${(mode & 0o777).toString(8)}): chmod 600 ${path}`,
  );
}

/** Not if one of the directories above keeps them out. */
async function canOthersReach(realPath: string): Promise<boolean> {
  for (let at = dirname(realPath); ; at = dirname(at)) {
    const { mode } = await stat(at);
    if ((mode & 0o001) === 0) return false;
    if (at === dirname(at)) return true;
  }
}

/** What may stand in an Authorization header (RFC 6750, section 2.1). */
export function isToken(text: string): boolean {
  return /^[A-Za-z0-9._~+/-]+=*$/.test(text);
}

/** Who a token says it is for; null if it does not say. Not verified: only good for a hint to its owner. */
export function subjectOf(token: string): string | null {
  return agentClaimsSchema.pick({ sub: true }).safeParse(payloadOf(token)).data?.sub ?? null;
}

const datedSchema = agentClaimsSchema.pick({ sub: true, iat: true });

/** Who a token says it is for, and since when; null if it does not say. Not verified. */
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
