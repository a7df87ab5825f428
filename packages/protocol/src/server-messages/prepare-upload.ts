import { z } from 'zod';
import { checksumModeSchema } from '../checksums.ts';
import { changePolicySchema } from '../change-policy.ts';
import { attemptSchema, filePathSchema, sizeBytesSchema, uploadIdSchema } from '../identifiers.ts';
import { MAX_WINDOW_PARTS, S3_MAX_PARTS, S3_MAX_PART_BYTES, S3_MIN_PART_BYTES } from '../part-plan.ts';
import { uploadLimitsSchema } from '../upload-limits.ts';
import { resumeStateSchema } from './resume-state.ts';

/** Asks the agent to open and measure a file; the agent answers `prepared` or `failed`. */
export const prepareUploadSchema = z.object({
  action: z.literal('prepare_upload'),
  upload_id: uploadIdSchema,
  attempt: attemptSchema,
  file_path: filePathSchema,
  plan: z
    .object({
      min_chunk_size: z
        .int()
        .min(S3_MIN_PART_BYTES)
        .max(S3_MAX_PART_BYTES)
        .meta({ description: 'Smallest chunk size, in bytes.' }),
      max_parts: z
        .int()
        .min(1)
        .max(S3_MAX_PARTS)
        .meta({ description: 'Most parts the file may be cut into.' }),
      window_size: z
        .int()
        .min(1)
        .max(MAX_WINDOW_PARTS)
        .meta({ description: 'Most parts to announce in one message.' }),
      max_file_size: sizeBytesSchema
        .optional()
        .meta({ description: 'A larger file is refused as `file_too_large`. Bytes.' }),
    })
    .meta({ description: 'The plan rule’s inputs.' }),
  checksum_mode: checksumModeSchema,
  on_change: changePolicySchema.optional(),
  limits: uploadLimitsSchema.optional().meta({
    description:
      'Only to agents with the capability `upload_limits`: how fast the upload may go, within what its owner allows.',
  }),
  resume: resumeStateSchema.optional().meta({
    description:
      'Only to agents with the capability `resume`: an earlier attempt goes on. The agent answers `resumed` instead of `prepared`.',
  }),
  expires_in_ms: z
    .int()
    .min(1)
    .meta({ description: 'A prepared upload that has seen no `download_file` by then is let go.' }),
});
export type PrepareUpload = z.infer<typeof prepareUploadSchema>;
