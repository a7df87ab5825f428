import { z } from 'zod';
import { checksumModeSchema } from '../checksums.ts';
import { changePolicySchema } from '../change-policy.ts';
import { attemptSchema, filePathSchema, sizeBytesSchema, uploadIdSchema } from '../identifiers.ts';
import { MAX_WINDOW_PARTS, S3_MAX_PARTS, S3_MAX_PART_BYTES, S3_MIN_PART_BYTES } from '../part-plan.ts';
import { uploadLimitsSchema } from '../upload-limits.ts';
import { resumeStateSchema } from './resume-state.ts';

/** Tells the agent to open a file and determine its size; the agent responds with `prepared` or `failed`. */
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
        .meta({ description: 'Minimum chunk size in bytes.' }),
      max_parts: z.int().min(1).max(S3_MAX_PARTS).meta({ description: 'Maximum number of parts.' }),
      window_size: z
        .int()
        .min(1)
        .max(MAX_WINDOW_PARTS)
        .meta({ description: 'Maximum number of parts announced in one message.' }),
      max_file_size: sizeBytesSchema
        .optional()
        .meta({ description: 'Maximum file size in bytes; a larger file is refused with `file_too_large`.' }),
    })
    .meta({ description: 'Parameters of the plan rule.' }),
  checksum_mode: checksumModeSchema,
  on_change: changePolicySchema.optional(),
  limits: uploadLimitsSchema.optional().meta({
    description:
      'Limits of the upload; the agent’s own limits also apply. Only for agents with the capability `upload_limits`.',
  }),
  resume: resumeStateSchema.optional().meta({
    description:
      'Resumes an earlier attempt; the agent responds with `resumed` instead of `prepared`. Only for agents with the capability `resume`.',
  }),
  expires_in_ms: z
    .int()
    .min(1)
    .meta({ description: 'Timeout in milliseconds: a prepared upload without `download_file` is released.' }),
});
export type PrepareUpload = z.infer<typeof prepareUploadSchema>;
