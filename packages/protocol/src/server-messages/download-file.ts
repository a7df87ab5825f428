import { z } from 'zod';
import { attemptOrFirstSchema, filePathSchema, uploadIdSchema } from '../identifiers.ts';
import { urlWindowFields } from './presigned-part.ts';

/** Starts the transfer of a prepared upload, with the URLs of its first window. */
export const downloadFileSchema = z.object({
  action: z.literal('download_file'),
  file_path: filePathSchema,
  upload_config: z
    .object({
      kind: z
        .literal('multipart')
        .default('multipart')
        .meta({ description: 'How the file is stored. Refuse a kind you do not know.' }),
      upload_id: uploadIdSchema,
      attempt: attemptOrFirstSchema,
      bucket: z.string().min(1).max(255).meta({ description: 'For people: the URLs are already complete.' }),
      key: z.string().min(1).max(1024).meta({ description: 'For people, as `bucket`.' }),
      chunk_size: z
        .int()
        .min(1)
        .meta({ description: "As in the agent's `prepared`; a difference is `plan_mismatch`." }),
      part_count: z
        .int()
        .min(1)
        .max(10_000)
        .optional()
        .meta({ description: "As in the agent's `prepared`, where given." }),
      ...urlWindowFields,
    })
    .meta({ description: 'Where the parts go.' }),
});
export type DownloadFile = z.infer<typeof downloadFileSchema>;
