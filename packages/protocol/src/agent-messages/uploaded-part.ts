import { z } from 'zod';
import { partNumberSchema } from '../identifiers.ts';

/** A stored part. The ETag is opaque: it is not always an MD5. */
export const uploadedPartSchema = z.object({
  part_number: partNumberSchema,
  etag: z.string().min(1).max(256).meta({ description: 'ETag as sent by S3, including quotes.' }),
});
export type UploadedPart = z.infer<typeof uploadedPartSchema>;
