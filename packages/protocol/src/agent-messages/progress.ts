import { z } from 'zod';
import { attemptSchema, sizeBytesSchema, uploadIdSchema } from '../identifiers.ts';

/**
 * Progress of an upload including parts in flight. For display only: stored parts are reported by `part_uploaded`. Sent
 * only if `welcome` has `progress_interval_ms`.
 */
export const progressSchema = z.object({
  status: z.literal('progress'),
  upload_id: uploadIdSchema,
  attempt: attemptSchema,
  bytes_sent: sizeBytesSchema.meta({
    description:
      'Bytes of the file that are stored, including kept parts, plus bytes of parts in flight that the other end of the connection has acknowledged. Decreases if a part in flight is lost.',
  }),
});
export type Progress = z.infer<typeof progressSchema>;
