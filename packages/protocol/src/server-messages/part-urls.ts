import { z } from 'zod';
import { attemptSchema, uploadIdSchema } from '../identifiers.ts';
import { urlWindowFields } from './presigned-part.ts';

/** Response to `parts_ready` with one URL for each requested part. */
export const partUrlsSchema = z.object({
  action: z.literal('part_urls'),
  upload_id: uploadIdSchema,
  attempt: attemptSchema,
  ...urlWindowFields,
});
export type PartUrls = z.infer<typeof partUrlsSchema>;
