import { z } from 'zod';
import { partNumberSchema, timestampSchema } from '../identifiers.ts';

/** S3 signs a handful; whatever comes is sent, so it must be bounded and must not be able to end its line. */
const MAX_HEADERS = 16;
const headerNameSchema = z
  .string()
  .min(1)
  .max(64)
  .regex(/^[!#$%&'*+.^_`|~0-9A-Za-z-]*$/, 'not the name of a header');
const headerValueSchema = z
  .string()
  .max(1024)
  .regex(/^[ -~]*$/, 'not printable ASCII');

/**
 * One part's URL. It is bound to one method (PUT), key, upload, part number, length and checksum: send `headers`
 * exactly as given, with a body of exactly the announced length.
 */
export const presignedPartSchema = z.object({
  part_number: partNumberSchema,
  url: z
    .url({ protocol: /^https?$/ })
    .max(16_384)
    .meta({ description: 'Where to PUT the part. A secret while it lives: never log its query.' }),
  headers: z
    .record(headerNameSchema, headerValueSchema)
    .refine((headers) => Object.keys(headers).length <= MAX_HEADERS, {
      message: `at most ${MAX_HEADERS} headers`,
    })
    .default({})
    .meta({
      description:
        'Signed headers, to be sent exactly as given: at most 16; names are tokens (RFC 9110) of at most 64 characters, values at most 1,024 printable ASCII characters.',
    }),
});
export type PresignedPart = z.infer<typeof presignedPartSchema>;

/** URLs die together. Agents count `expires_in_ms` on a monotonic clock from arrival, never `expires_at`. */
export const urlWindowFields = {
  presigned_urls: z
    .array(presignedPartSchema)
    .min(1)
    .max(64)
    .meta({ description: 'One for each part of the window.' }),
  expires_at: timestampSchema.meta({
    description: "When the URLs die, by the server's clock; for people. UTC, ISO 8601.",
  }),
  expires_in_ms: z
    .int()
    .min(1)
    .meta({ description: 'The same as a duration from arrival: count it on a monotonic clock.' }),
};
