import { z } from 'zod';
import { partNumberSchema } from '../identifiers.ts';

/** The ETag as S3 sent it, quotes included: opaque (it is an MD5 only sometimes). */
export const uploadedPartSchema = z.object({
  part_number: partNumberSchema,
  etag: z.string().min(1).max(256).meta({ description: 'As S3 sent it, quotes included.' }),
});
export type UploadedPart = z.infer<typeof uploadedPartSchema>;
