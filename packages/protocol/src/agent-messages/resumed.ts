import { z } from 'zod';
import { attemptSchema, sizeBytesSchema, uploadIdSchema } from '../identifiers.ts';
import { fingerprintSchema } from './prepared.ts';

/** What an agent that can go on with an earlier process's attempt has in `capabilities`. */
export const RESUME_CAPABILITY = 'resume';

/**
 * Answers a `prepare_upload` that has `resume`: the file is open and looks like the version the parts are of. The
 * agent goes on at once; whether the kept parts are of the file's present bytes it finds out while it reads them.
 */
export const resumedSchema = z.object({
  status: z.literal('resumed'),
  upload_id: uploadIdSchema,
  attempt: attemptSchema,
  size: sizeBytesSchema.meta({ description: 'As in `resume`.' }),
  fingerprint: fingerprintSchema.meta({
    description:
      'Of the file as it was opened now; its change time and device may differ from those in `resume`.',
  }),
});
export type Resumed = z.infer<typeof resumedSchema>;
