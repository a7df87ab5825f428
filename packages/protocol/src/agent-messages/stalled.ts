import { z } from 'zod';
import { attemptSchema, uploadIdSchema } from '../identifiers.ts';

/** Far beyond any pause between two tries, and short of what makes a date that cannot be written. */
const MAX_RETRY_IN_MS = 86_400_000;

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
  retry_in_ms: z
    .int()
    .min(0)
    .max(MAX_RETRY_IN_MS)
    .meta({ description: 'Until the next try of the part that failed last; at most a day.' }),
});
export type Stalled = z.infer<typeof stalledSchema>;
