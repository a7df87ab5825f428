import { z } from 'zod';

/** How parts are bound to their bytes. The server probes the store and picks one. */
export const checksumModeSchema = z
  .enum(['crc32', 'sha256', 'md5', 'none'])
  .meta({ description: 'Checksum that each part carries: a signed header that the store enforces.' });
export type ChecksumMode = z.infer<typeof checksumModeSchema>;

const base64Of = (bytes: number) =>
  z
    .base64()
    .length(Math.ceil(bytes / 3) * 4)
    .meta({ description: `${bytes} bytes, base64.` });

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
