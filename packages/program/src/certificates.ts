import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import tls from 'node:tls';

/** A complete block of a PEM file, with its label. */
const BLOCK = /-----BEGIN ([A-Z0-9 ]+)-----(?:(?!-----)[^])*-----END \1-----/g;

/** "TRUSTED" is written by `openssl x509 -trustout`, "X509" by old programs. */
const CERTIFICATE_LABEL = /^(?:X509 |TRUSTED )?CERTIFICATE$/;

/**
 * Returns all certificates of a PEM file, or the problem as the rest of a sentence "FILE …". A truncated file is refused
 * as a whole: OpenSSL would silently use only the certificates before the cut.
 */
export function readCertificates(
  pem: string,
): { readonly certificates: readonly X509Certificate[] } | { readonly problem: string } {
  const blocks = [...pem.matchAll(BLOCK)].filter(([, label = '']) => CERTIFICATE_LABEL.test(label));
  if (/-----B/.test(pem.replaceAll(BLOCK, ''))) {
    return { problem: 'is truncated: it has a "-----BEGIN" without its "-----END"' };
  }
  if (blocks.length === 0) {
    return { problem: 'has no certificate in PEM format ("-----BEGIN CERTIFICATE-----")' };
  }
  const certificates: X509Certificate[] = [];
  for (const [index, [block]] of blocks.entries()) {
    try {
      certificates.push(new X509Certificate(block));
    } catch {
      return { problem: `has an invalid certificate (number ${index + 1} of ${blocks.length})` };
    }
  }
  return { certificates };
}

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
