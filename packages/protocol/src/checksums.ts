import { z } from 'zod';

/** Checksum that binds a part's URL to its bytes. The server probes the store and chooses one. */
export const checksumModeSchema = z
  .enum(['crc32', 'sha256', 'md5', 'none'])
  .meta({ description: 'Checksum sent with each part, as a signed header that the store enforces.' });
export type ChecksumMode = z.infer<typeof checksumModeSchema>;

/**
 * Base64 of exactly this many bytes in canonical form: unused bits of the last character are 0 (RFC 4648, section 3.5),
 * so that a checksum has only one representation.
 */
function base64Of(bytes: 4 | 16 | 32) {
  const ending = bytes % 3 === 1 ? '[AQgw]==' : '[AEIMQUYcgkosw048]=';
  return z
    .string()
    .regex(new RegExp(`^[A-Za-z0-9+/]{${Math.floor((bytes * 8) / 6)}}${ending}$`), `base64 of ${bytes} bytes`)
    .meta({ description: `${bytes} bytes, base64.` });
}

/**
 * Checksums of one part in the format of S3's headers: base64 of the big-endian bytes. `crc32` is required, because the
 * checksum of the whole object is combined from those of the parts.
 */
export const partChecksumsSchema = z.object({
  crc32: base64Of(4),
  sha256: base64Of(32).optional(),
  md5: base64Of(16).optional(),
});
export type PartChecksums = z.infer<typeof partChecksumsSchema>;

/** SHA-256 of a whole file, in the format of `sha256sum`. */
export const sha256HexSchema = z
  .string()
  .regex(/^[0-9a-f]{64}$/)
  .meta({ description: 'SHA-256, 64 hexadecimal digits.' });

export const verificationSchema = z.enum(['full_object', 'parts', 'size_only']).meta({
  description:
    'How the upload was verified: by a checksum of the whole object (`full_object`), by a checksum of each part that the store enforced (`parts`), or only by size (`size_only`).',
});
export type Verification = z.infer<typeof verificationSchema>;
