import { z } from 'zod';
import { attemptSchema, sizeBytesSchema, uploadIdSchema } from '../identifiers.ts';
import { fingerprintSchema } from './prepared.ts';

/** Capability of agents that can resume an attempt of an earlier process. */
export const RESUME_CAPABILITY = 'resume';

/**
 * Response to a `prepare_upload` with `resume`: the file is open and its fingerprint matches the version of the kept
 * parts. The agent continues at once, and verifies the kept parts against the file's bytes while it reads them.
 */
export const resumedSchema = z.object({
  status: z.literal('resumed'),
  upload_id: uploadIdSchema,
  attempt: attemptSchema,
  size: sizeBytesSchema.meta({ description: 'Same as in `resume`.' }),
  fingerprint: fingerprintSchema.meta({
    description:
      'Fingerprint of the file as opened now; change time and device may differ from those in `resume`.',
  }),
});
export type Resumed = z.infer<typeof resumedSchema>;
