import { z } from 'zod';
import { attemptSchema, uploadIdSchema } from '../identifiers.ts';

/** No part could be stored for a while; the agent goes on trying. The next `part_uploaded` ends this state. */
export const stalledSchema = z.object({
  status: z.literal('stalled'),
  upload_id: uploadIdSchema,
  attempt: attemptSchema,
  reason: z
    .string()
    .min(1)
    .max(500)
    .meta({ description: 'For a person: what the last PUT met with. Never a URL.' }),
  retry_in_ms: z.int().min(0).meta({ description: 'Until the next try of the part that failed last.' }),
});
export type Stalled = z.infer<typeof stalledSchema>;
