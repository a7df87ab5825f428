import { z } from 'zod';
import { fingerprintSchema } from '../agent-messages/prepared.ts';
import { partChecksumsSchema } from '../checksums.ts';
import { partNumberSchema, sizeBytesSchema } from '../identifiers.ts';

/**
 * State of an earlier attempt: the version of the file and the parts that S3 holds. The agent keeps no state on disk, so a
 * new process has only this information.
 */
export const resumeStateSchema = z.object({
  size: sizeBytesSchema.meta({ description: 'Number of bytes of the file to send.' }),
  fingerprint: fingerprintSchema.meta({ description: 'Version of the file from which the parts were read.' }),
  kept_parts: z
    .array(
      z.object({
        part_number: partNumberSchema,
        crc32: partChecksumsSchema.shape.crc32,
        sha256: partChecksumsSchema.shape.sha256,
      }),
    )
    .max(10_000)
    .meta({
      description: 'Parts that S3 holds. The agent reads and compares them, but does not send them again.',
    }),
});
export type ResumeState = z.infer<typeof resumeStateSchema>;
