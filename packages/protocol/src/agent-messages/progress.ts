import { z } from 'zod';
import { attemptSchema, sizeBytesSchema, uploadIdSchema } from '../identifiers.ts';

/**
 * How far an upload is, with the parts that are on their way. For display only: what is stored is said by
 * `part_uploaded`. Sent only if `welcome` asks for it.
 */
export const progressSchema = z.object({
  status: z.literal('progress'),
  upload_id: uploadIdSchema,
  attempt: attemptSchema,
  bytes_sent: sizeBytesSchema.meta({
    description:
      'Bytes of the file that are stored, kept parts included, or of a part on its way and acknowledged by the other end of its connection. Falls when such a part is cut off.',
  }),
});
export type Progress = z.infer<typeof progressSchema>;
