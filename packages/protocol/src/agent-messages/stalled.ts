import { z } from 'zod';
import { attemptSchema, uploadIdSchema } from '../identifiers.ts';

/** Longer than any delay between two tries, and short enough to yield a valid date. */
const MAX_RETRY_IN_MS = 86_400_000;

/** No part could be stored for a while; the agent keeps trying. The next `part_uploaded` ends this state. */
export const stalledSchema = z.object({
  status: z.literal('stalled'),
  upload_id: uploadIdSchema,
  attempt: attemptSchema,
  reason: z
    .string()
    .min(1)
    .max(500)
    .meta({ description: 'Error of the last PUT, for people. Never contains a URL.' }),
  retry_in_ms: z.int().min(0).max(MAX_RETRY_IN_MS).meta({
    description: 'Delay until the next try of the part that failed last, in milliseconds; at most a day.',
  }),
});
export type Stalled = z.infer<typeof stalledSchema>;
