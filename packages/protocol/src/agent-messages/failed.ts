import { z } from 'zod';
import { attemptOrFirstSchema, uploadIdSchema } from '../identifiers.ts';

/** The agent has ended this attempt with an error. `error` is a code of the error table. */
export const failedSchema = z.object({
  status: z.literal('failed'),
  upload_id: uploadIdSchema,
  attempt: attemptOrFirstSchema,
  error: z
    .string()
    .min(1)
    .max(64)
    .meta({ description: 'An error code. The server records unknown codes as `agent_fault`.' }),
  message: z
    .string()
    .max(2000)
    .meta({ description: 'Description for people: what happened and what to change.' }),
});
export type Failed = z.infer<typeof failedSchema>;
