import { readFile } from 'node:fs/promises';
import { agentClaimsSchema } from '@backhaul/protocol';
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
  const text = await readFile(path, 'utf8').catch((error: unknown) => {
    const errno = error instanceof Error && 'code' in error ? String(error.code) : 'unreadable';
    throw new Error(`--token-file ${path} cannot be read (${errno})`, { cause: error });
  });
  const token = text.trim();
  if (!isToken(token)) throw new Error(`--token-file ${path} does not hold a token alone`);
  return token;
}

/** What may stand in an Authorization header (RFC 6750, section 2.1). */
export function isToken(text: string): boolean {
  return /^[A-Za-z0-9._~+/-]+=*$/.test(text);
}

/** Who a token says it is for; null if it does not say. Not verified: only good for a hint to its owner. */
export function subjectOf(token: string): string | null {
  try {
    const claims: unknown = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString('utf8'));
    return agentClaimsSchema.pick({ sub: true }).parse(claims).sub;
  } catch {
    return null;
  }
}
