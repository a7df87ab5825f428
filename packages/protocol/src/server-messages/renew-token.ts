import { z } from 'zod';
import { renewalIdSchema } from '../identifiers.ts';

/** Capability of agents that can store a renewed token; `renew_token` is sent only to them. */
export const TOKEN_RENEWAL_CAPABILITY = 'token_renewal';

/**
 * A token that replaces the token of the agent's connection. The old token remains valid until the new one is first used,
 * so losing this message or its response has no effect.
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
        'Token for `Authorization: Bearer` of later connections. A secret: it must not appear in logs or messages.',
    }),
});
export type RenewToken = z.infer<typeof renewTokenSchema>;
