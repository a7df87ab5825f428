import { X509Certificate } from 'node:crypto';

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
