import { z } from 'zod';

/** How parts are bound to their bytes. The server probes the store and picks one. */
export const checksumModeSchema = z
  .enum(['crc32', 'sha256', 'md5', 'none'])
  .meta({ description: 'Checksum that each part carries: a signed header that the store enforces.' });
export type ChecksumMode = z.infer<typeof checksumModeSchema>;

/**
 * Exactly this many bytes, in the one spelling that an encoder produces: unused bits of the last character are 0
 * (RFC 4648, section 3.5), so that two spellings are never two checksums.
 */
function base64Of(bytes: 4 | 16 | 32) {
  const ending = bytes % 3 === 1 ? '[AQgw]==' : '[AEIMQUYcgkosw048]=';
  return z
    .string()
    .regex(new RegExp(`^[A-Za-z0-9+/]{${Math.floor((bytes * 8) / 6)}}${ending}$`), `base64 of ${bytes} bytes`)
    .meta({ description: `${bytes} bytes, base64.` });
}

/**
 * Checksums of one part, as S3's headers spell them: base64 of the big-endian bytes. `crc32` is always there,
 * because the object's full checksum is combined from the parts'.
 */
export const partChecksumsSchema = z.object({
  crc32: base64Of(4),
  sha256: base64Of(32).optional(),
  md5: base64Of(16).optional(),
});
export type PartChecksums = z.infer<typeof partChecksumsSchema>;

/** SHA-256 of a whole file, as `sha256sum` prints it. */
export const sha256HexSchema = z
  .string()
  .regex(/^[0-9a-f]{64}$/)
  .meta({ description: 'SHA-256, 64 hexadecimal digits.' });

export const verificationSchema = z.enum(['full_object', 'parts', 'size_only']).meta({
  description:
    'How sure the server is: the store confirmed a checksum of the whole object, enforced one for each part, or only the size was compared.',
});
export type Verification = z.infer<typeof verificationSchema>;
