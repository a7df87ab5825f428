import { z } from 'zod';
import { renewalIdSchema } from '../identifiers.ts';

/** The renewed token is on the agent's disk, and will be used at its next connection. */
export const tokenStoredSchema = z.object({
  status: z.literal('token_stored'),
  renewal_id: renewalIdSchema,
});
export type TokenStored = z.infer<typeof tokenStoredSchema>;
