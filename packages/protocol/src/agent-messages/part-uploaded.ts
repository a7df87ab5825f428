import { z } from 'zod';
import { attemptSchema, uploadIdSchema } from '../identifiers.ts';
import { uploadedPartSchema } from './uploaded-part.ts';

/** Parts that S3 has acknowledged since the last such message; sent at most a few times per second. */
export const partUploadedSchema = z.object({
  status: z.literal('part_uploaded'),
  upload_id: uploadIdSchema,
  attempt: attemptSchema,
  parts: z
    .array(uploadedPartSchema)
    .min(1)
    .max(10_000)
    .meta({ description: 'Parts acknowledged since the last such message.' }),
  retries: z.int().min(0).default(0).meta({ description: 'Number of repeated PUTs in this attempt.' }),
});
export type PartUploaded = z.infer<typeof partUploadedSchema>;
