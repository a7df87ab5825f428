import { z } from 'zod';
import { errorCodes } from '../error-table.ts';

/** A frame could not be handled. The socket stays open; the agent logs it. */
export const serverErrorSchema = z.object({
  action: z.literal('error'),
  code: z.enum(errorCodes),
  message: z.string().max(2000),
});
export type ServerError = z.infer<typeof serverErrorSchema>;
