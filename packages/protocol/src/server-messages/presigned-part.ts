import { z } from 'zod';
import { partNumberSchema } from '../identifiers.ts';

/**
 * One part's URL. It is bound to one method (PUT), key, upload, part number, length and checksum: send `headers`
 * exactly as given, with a body of exactly the announced length.
 */
export const presignedPartSchema = z.object({
  part_number: partNumberSchema,
  url: z.url({ protocol: /^https?$/ }).max(16_384),
  headers: z.record(z.string(), z.string()).default({}),
});
export type PresignedPart = z.infer<typeof presignedPartSchema>;

/** URLs die together. Agents count `expires_in_ms` on a monotonic clock from arrival, never `expires_at`. */
export const urlWindowFields = {
  presigned_urls: z.array(presignedPartSchema).max(64),
  expires_at: z.iso.datetime(),
  expires_in_ms: z.int().min(1),
};
