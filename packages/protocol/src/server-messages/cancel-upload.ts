import { z } from 'zod';
import { attemptSchema, uploadIdSchema } from '../identifiers.ts';

/** Cancels an upload: the agent stops, closes the file and sends no further messages about it. */
export const cancelUploadSchema = z.object({
  action: z.literal('cancel_upload'),
  upload_id: uploadIdSchema,
  attempt: attemptSchema,
  reason: z.string().max(500).meta({ description: 'Reason, for people and the agent’s audit log.' }),
});
export type CancelUpload = z.infer<typeof cancelUploadSchema>;
