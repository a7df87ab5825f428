import { z } from 'zod';
import { subjectFields } from '../message-subject.ts';

/** A frame could not be handled. The connection stays open; the agent logs the error and ends the upload or command of the frame. */
export const serverErrorSchema = z.object({
  action: z.literal('error'),
  code: z
    .string()
    .min(1)
    .max(64)
    .meta({ description: 'An error code, used only for the log; unknown codes are allowed.' }),
  message: z.string().max(2000).meta({ description: 'Description of the error in the frame.' }),
  ...subjectFields,
});
export type ServerError = z.infer<typeof serverErrorSchema>;
