import { z } from 'zod';
import { partNumberSchema, timestampSchema } from '../identifiers.ts';

/** S3 needs only a few. The agent sends all of them, so number, size and characters are limited. */
const MAX_HEADERS = 16;
const headerNameSchema = z
  .string()
  .min(1)
  .max(64)
  .regex(/^[!#$%&'*+.^_`|~0-9A-Za-z-]*$/, 'not a header name');
const headerValueSchema = z
  .string()
  .max(1024)
  .regex(/^[ -~]*$/, 'not printable ASCII');

/**
 * Presigned URL of one part. It is bound to method (PUT), key, upload, part number, length and checksum: send `headers`
 * exactly as given, with a body of exactly the announced length.
 */
export const presignedPartSchema = z.object({
  part_number: partNumberSchema,
  url: z
    .url({ protocol: /^https?$/ })
    .max(16_384)
    .meta({ description: 'URL for the PUT of the part. A secret until it expires: never log its query.' }),
  headers: z
    .record(headerNameSchema, headerValueSchema)
    .refine((headers) => Object.keys(headers).length <= MAX_HEADERS, {
      message: `at most ${MAX_HEADERS} headers`,
    })
    .default({})
    .meta({
      description:
        'Signed headers; send them exactly as given. At most 16; names are tokens (RFC 9110) of at most 64 characters, values have at most 1,024 printable ASCII characters.',
    }),
});
export type PresignedPart = z.infer<typeof presignedPartSchema>;

/** All URLs of a window expire together. Agents measure `expires_in_ms` on a monotonic clock and ignore `expires_at`. */
export const urlWindowFields = {
  presigned_urls: z
    .array(presignedPartSchema)
    .min(1)
    .max(64)
    .meta({ description: 'One URL for each part of the window.' }),
  expires_at: timestampSchema.meta({
    description: "Expiry of the URLs by the server's clock; informative. UTC, ISO 8601.",
  }),
  expires_in_ms: z.int().min(1).meta({
    description: 'Time until the URLs expire, in milliseconds from arrival; measure it on a monotonic clock.',
  }),
};
