import { z } from 'zod';
import { partNumberSchema, timestampSchema } from '../identifiers.ts';

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
    .record(z.string(), z.string())
    .default({})
    .meta({ description: 'Signed headers, to be sent exactly as given.' }),
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
