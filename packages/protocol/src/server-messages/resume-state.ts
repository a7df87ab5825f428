import { z } from 'zod';
import { fingerprintSchema } from '../agent-messages/prepared.ts';
import { partChecksumsSchema } from '../checksums.ts';
import { partNumberSchema, sizeBytesSchema } from '../identifiers.ts';

/**
 * What an earlier attempt left: the version of the file it sent, and the parts that S3 holds of it. The agent keeps
 * no state on disk, so this is all that a new process of it knows.
 */
export const resumeStateSchema = z.object({
  size: sizeBytesSchema.meta({ description: 'Bytes of the file that are to be sent.' }),
  fingerprint: fingerprintSchema.meta({ description: 'The version of the file that the parts are of.' }),
  kept_parts: z
    .array(
      z.object({
        part_number: partNumberSchema,
        crc32: partChecksumsSchema.shape.crc32,
        sha256: partChecksumsSchema.shape.sha256,
      }),
    )
    .max(10_000)
    .meta({ description: 'Parts that S3 holds. They are read and compared, not sent again.' }),
});
export type ResumeState = z.infer<typeof resumeStateSchema>;
