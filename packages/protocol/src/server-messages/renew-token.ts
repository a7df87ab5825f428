import { z } from 'zod';
import { renewalIdSchema } from '../identifiers.ts';

/** Of an agent that can keep a renewed token; no other is sent `renew_token`. */
export const TOKEN_RENEWAL_CAPABILITY = 'token_renewal';

/**
 * A token that replaces the one the agent has connected with. That one is good until the new one was first used, so
 * that nothing is lost if this message or its answer is.
 */
export const renewTokenSchema = z.object({
  action: z.literal('renew_token'),
  renewal_id: renewalIdSchema,
  token: z
    .string()
    .min(1)
    .max(8192)
    .regex(/^[A-Za-z0-9._~+/-]+=*$/)
    .meta({
      description:
        'For `Authorization: Bearer` of the next connections. A secret: it must not appear in logs or messages.',
    }),
});
export type RenewToken = z.infer<typeof renewTokenSchema>;
