import { z } from 'zod';
import { subjectFields } from '../message-subject.ts';

/** A frame could not be handled. The socket stays open; the agent logs it, and ends what the frame was about. */
export const serverErrorSchema = z.object({
  action: z.literal('error'),
  code: z
    .string()
    .min(1)
    .max(64)
    .meta({ description: 'An error code; for the log, so one that is not known is no mistake.' }),
  message: z.string().max(2000).meta({ description: 'What was wrong with the frame.' }),
  ...subjectFields,
});
export type ServerError = z.infer<typeof serverErrorSchema>;
