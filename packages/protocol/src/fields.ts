import { z } from 'zod';

/** Identifies one machine. Safe in URLs, S3 keys and log lines without escaping. */
export const clientIdSchema = z
  .string()
  .regex(
    /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/,
    'a client_id is 1 to 64 letters, digits, dots, underscores and hyphens, and starts with a letter or digit',
  )
  .meta({ description: 'The machine on which the agent runs.', example: 'restaurant-1' });

/** UUIDv7 of one upload. It is not S3's upload id, which never leaves the server. */
export const uploadIdSchema = z.uuidv7('an upload_id is a UUIDv7').meta({
  description: 'Identifies one upload of one file.',
  example: '019ab3c2-5f00-7000-8000-000000000001',
});

/** Matches a result to a command that is not an upload. */
export const commandIdSchema = z.uuidv7().meta({ description: 'Matches a `result` to its command.' });

/** Identifies one renewal of an agent's token, in messages and logs; not a secret. */
export const renewalIdSchema = z
  .uuidv7()
  .meta({ description: 'Matches `token_stored` to its `renew_token`.' });

/**
 * A path in the format of the agent's machine; opaque to the server. 4,096 is Linux's PATH_MAX, counted here in UTF-16
 * units, and more than Windows accepts. No file system allows NUL in names.
 */
export const filePathSchema = z
  .string()
  .min(1, 'a file path cannot be empty')
  .max(4096, 'a file path has at most 4096 characters')
  .refine((path) => !path.includes('\0'), 'a file path cannot contain a NUL character')
  .meta({ description: "A path in the format of the agent's machine.", example: '/data/report.bin' });

/** The last component of a path, for display. Object keys are never derived from it alone. */
export const fileNameSchema = z.string().min(1).max(1024).meta({
  description:
    'Last component of the requested path; another name is refused. Case and Unicode normalisation are ignored.',
});

/** Counts the attempts of an upload, from 1. Messages of an older attempt are ignored. */
export const attemptSchema = z.int().min(1).max(1_000_000).meta({
  description: 'Number of the attempt of this upload, from 1. Messages of older attempts are ignored.',
});

/** For messages of the original design, which had no attempt: absent means the first. */
export const attemptOrFirstSchema = attemptSchema.default(1);

/** S3 numbers parts from 1 to 10,000 (AWS, "Amazon S3 multipart upload limits"). */
export const partNumberSchema = z.int().min(1).max(10_000).meta({ description: 'Part number, 1 to 10,000.' });

/** Bytes. JSON numbers are exact up to 2^53, far above S3's 48.8 TiB for an object. */
export const sizeBytesSchema = z
  .int()
  .min(0)
  .max(Number.MAX_SAFE_INTEGER)
  .meta({ description: 'Size in bytes.' });

export const timestampSchema = z.iso
  .datetime()
  .meta({ description: 'UTC, ISO 8601.', example: '2025-11-01T10:30:00.000Z' });

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

/** Query parameters of all lists. */
export const pageFields = {
  limit: z.coerce.number().int().min(1).max(500).default(50),
  cursor: z.string().max(512).optional().meta({ description: 'The `next_cursor` of the previous page.' }),
};

/** Fields of an `error`, in both directions: a frame could not be handled. */
export const errorFields = {
  code: z
    .string()
    .min(1)
    .max(64)
    .meta({ description: 'An error code, used only for the log; unknown codes are allowed.' }),
  message: z.string().max(2000).meta({ description: 'Description of the error in the frame.' }),
  upload_id: uploadIdSchema.optional().meta({ description: 'Upload of the refused message.' }),
  attempt: attemptSchema.optional().meta({ description: 'Attempt of the refused message.' }),
  command_id: commandIdSchema.optional().meta({ description: 'Command of the refused message.' }),
};
