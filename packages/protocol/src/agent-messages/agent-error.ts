import { z } from 'zod';
import { errorCodes } from '../error-table.ts';

/** A frame could not be handled. The socket stays open; the server logs it. */
export const agentErrorSchema = z.object({
  status: z.literal('error'),
  code: z.enum(errorCodes),
  message: z.string().max(2000),
});
export type AgentError = z.infer<typeof agentErrorSchema>;
