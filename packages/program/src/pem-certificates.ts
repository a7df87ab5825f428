import { X509Certificate } from 'node:crypto';

/** A whole block of a PEM file, with its label. */
const BLOCK = /-----BEGIN ([A-Z0-9 ]+)-----(?:(?!-----)[^])*-----END \1-----/g;

/** "TRUSTED" is how `openssl x509 -trustout` writes one, "X509" how old programs do. */
const CERTIFICATE_LABEL = /^(?:X509 |TRUSTED )?CERTIFICATE$/;

/**
 * All certificates of a PEM file, or what is wrong with it, to continue "FILE …". A file that was cut off while it was
 * copied must not count for what is left of it: OpenSSL would take that, and distrust all behind the cut without a word.
 */
export function readCertificates(
  pem: string,
): { readonly certificates: readonly X509Certificate[] } | { readonly problem: string } {
  const blocks = [...pem.matchAll(BLOCK)].filter(([, label = '']) => CERTIFICATE_LABEL.test(label));
  if (/-----B/.test(pem.replaceAll(BLOCK, ''))) {
    return { problem: 'is cut off: it has a "-----BEGIN" without its "-----END"' };
  }
  if (blocks.length === 0) {
    return { problem: 'has no certificate in PEM format ("-----BEGIN CERTIFICATE-----")' };
  }
  const certificates: X509Certificate[] = [];
  for (const [index, [block]] of blocks.entries()) {
    try {
      certificates.push(new X509Certificate(block));
    } catch {
      return { problem: `has a certificate that cannot be read (number ${index + 1} of ${blocks.length})` };
    }
  }
  return { certificates };
}
