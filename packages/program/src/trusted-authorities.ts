import { readFileSync } from 'node:fs';
import tls from 'node:tls';
import { readCertificates } from './pem-certificates.ts';

/** A file of certificates cannot be used; the message names it. */
export class AuthorityFileError extends Error {
  override readonly name = 'AuthorityFileError';
}

/**
 * Whose certificates TLS clients of this process accept: authorities that Node.js brings, those of the operating
 * system, of NODE_EXTRA_CA_CERTS, and of `files`. Holds for connections made from now on, so it can be called again
 * when a file was replaced; what the system and NODE_EXTRA_CA_CERTS name is read once.
 *
 * Costs 30 ms and 8 MB. A program that was started with `--use-system-ca` needs it for `files` only.
 *
 * @throws AuthorityFileError; then nothing has changed.
 */
export function trustAuthorities(files: readonly string[]): void {
  initial ??= [...new Set([...tls.getCACertificates('default'), ...tls.getCACertificates('system')])];
  tls.setDefaultCACertificates([...initial, ...files.flatMap(certificatesIn)]);
}

/** Before the first change; `default` would be what was set last. */
let initial: readonly string[] | undefined;

/** Before TLS is first used: the authorities of the system count, if they do not yet. */
export function trustSystem(): void {
  if (initial === undefined && !trustsSystemAlready()) trustAuthorities([]);
}

/** Whether Node.js was told to take the authorities of the system, which is cheaper than {@link trustAuthorities}. */
function trustsSystemAlready(): boolean {
  return process.execArgv.includes('--use-system-ca');
}

function certificatesIn(path: string): readonly string[] {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code ?? 'unknown';
    throw new AuthorityFileError(`${path} cannot be read: ${code}`, { cause });
  }
  const result = readCertificates(text);
  if ('problem' in result) throw new AuthorityFileError(`${path} ${result.problem}`);
  return result.certificates.map(String);
}
