import { readFileSync } from 'node:fs';
import tls from 'node:tls';
import { readCertificates } from './pem-certificates.ts';

/** A certificate file cannot be used; the message names it. */
export class AuthorityFileError extends Error {
  override readonly name = 'AuthorityFileError';
}

/**
 * Sets the authorities that TLS clients of this process trust: those bundled with Node.js, of the operating system, of
 * NODE_EXTRA_CA_CERTS, and of `files`. Applies to new connections, so it can be called again when a file was replaced;
 * the authorities of the system and of NODE_EXTRA_CA_CERTS are read only once.
 *
 * Costs 30 ms and 8 MB. A program that was started with `--use-system-ca` needs it only for `files`.
 *
 * @throws AuthorityFileError; nothing is changed then.
 */
export function trustAuthorities(files: readonly string[]): void {
  initial ??= [...new Set([...tls.getCACertificates('default'), ...tls.getCACertificates('system')])];
  tls.setDefaultCACertificates([...initial, ...files.flatMap(certificatesIn)]);
}

/** The authorities before the first change; later, `default` would return those that were set last. */
let initial: readonly string[] | undefined;

/** Also trusts the authorities of the system, if they are not trusted yet. Call it before TLS is first used. */
export function trustSystem(): void {
  if (initial === undefined && !trustsSystemAlready()) trustAuthorities([]);
}

/** Whether Node.js itself uses the authorities of the system, which is cheaper than {@link trustAuthorities}. */
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
