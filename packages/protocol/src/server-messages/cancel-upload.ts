import { z } from 'zod';
import { attemptSchema, uploadIdSchema } from '../identifiers.ts';

/** The server no longer wants this upload: stop, close the file, send nothing more about it. */
export const cancelUploadSchema = z.object({
  action: z.literal('cancel_upload'),
  upload_id: uploadIdSchema,
  attempt: attemptSchema,
  reason: z.string().max(500).meta({ description: 'For people, and the agent’s audit.' }),
});
export type CancelUpload = z.infer<typeof cancelUploadSchema>;
