import { z } from 'zod';
import { renewalIdSchema } from '../identifiers.ts';

/** Response to `renew_token`: the agent has stored the token on disk and uses it from its next connection. */
export const tokenStoredSchema = z.object({
  status: z.literal('token_stored'),
  renewal_id: renewalIdSchema,
});
export type TokenStored = z.infer<typeof tokenStoredSchema>;
